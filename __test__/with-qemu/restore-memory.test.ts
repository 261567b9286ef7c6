import { randomFillSync } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { modeOf, MODE_NAMES, type RestoreMode } from '../../ts/restore/modes/modes.ts';
import { restore } from '../../ts/restore/restore.ts';
import { saveTo } from '../support/plain-migration.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { aarch64Test, QEMU_AARCH64_BINARY, qemuTest, tpmTest } from '../support/qemu-required.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { startSwtpm } from '../support/swtpm.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { unlessRefused } from '../support/unless-refused.ts';

// Guests with memory beside their main memory.

const SLOTS = '64M,slots=4,maxmem=1G';

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

/** The blocks whose memory is in place before the guest comes, of those that could be. */
function inPlace(mode: RestoreMode, blocks: readonly string[]): readonly string[] {
  return modeOf(mode).startsWithMemory ? blocks : [];
}

/** Makes a file of random bytes. */
async function randomFile(path: string, length: number): Promise<Buffer> {
  const bytes = randomFillSync(Buffer.alloc(length));
  await writeFile(path, bytes);
  return bytes;
}

/** Restores in all modes and lets the guest prove its memory. */
async function restores(t: ExecutionContext, path: string, setup: GuestSetup): Promise<void> {
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(path, setup, { mode, after: 'stop' });
    t.deepEqual(guest.restored.warnings, [], mode);
    const before = await guest.checkMemory();
    t.true((await guest.assertAlive()).generation > before.generation, mode);
  }
}

const BLOCKS_OF_DEVICES = words('-device vmware-svga,vgamem_mb=64 -device VGA,vgamem_mb=128');
/** On this machine type, video memory has a name without an address. */
const OLD = 'pc-i440fx-2.12';

for (const machine of ['q35', 'pc', OLD]) {
  qemuTest(`${machine}: blocks of devices, and memory that only the size tells from them`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.mr');
    const extraArgs = machine === OLD ? ['-device', 'VGA,vgamem_mb=128'] : BLOCKS_OF_DEVICES;
    await saveGuest({ machine, backend: 'ram', extraArgs }, path);
    await restores(t, path, { machine, backend: 'ram', extraArgs });
    // Without the object, its name comes out of the snapshot.
    await restores(t, path, { machine, memoryArgs: ['-m', '128M'], memoryBlocks: ['m0'], extraArgs });
    await restores(t, path, { machine, memoryArgs: [], memoryBlocks: ['m0'], extraArgs });
  });
}

for (const machine of ['pc-q35-2.4', 'pc-i440fx-3.1']) {
  qemuTest(`${machine}: memory of -m, although objects of that id have paths`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.mr');
    const setup = { machine, memoryArgs: ['-m', '128M'], memoryBlocks: ['pc.ram'] };
    await saveGuest(setup, path);
    await restores(t, path, setup);
  });
}

qemuTest('NUMA nodes on a machine type whose objects have paths, of two kinds of objects', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const setup = {
    machine: 'pc-i440fx-3.1',
    numa: true,
    memoryArgs: words(
      `-m 128M -object memory-backend-ram,id=m0,size=64M -object memory-backend-file,id=m1,size=64M,mem-path=${dir.file('m1')}
       -numa node,memdev=m0 -numa node,memdev=m1`,
    ),
    memoryBlocks: ['m0', '/objects/m1'],
  };
  await saveGuest(setup, path);
  await restores(t, path, setup);
});

tpmTest('a TPM whose buffer is a block', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const setup = async (name: string): Promise<GuestSetup & AsyncDisposable> => {
    await mkdir(dir.file(name));
    const tpm = await startSwtpm(dir.file(name));
    const chardev = `-chardev socket,id=tpm,path=${tpm.socket}`;
    const extraArgs = words(`${chardev} -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0`);
    return { extraArgs, [Symbol.asyncDispose]: () => tpm[Symbol.asyncDispose]() };
  };
  {
    await using saved = await setup('saved');
    await saveGuest(saved, path);
  }
  for (const mode of MODE_NAMES) {
    await using made = await setup(mode);
    await using guest = await restoreGuest(path, made, { mode, after: 'stop' });
    const before = await guest.checkMemory();
    t.true((await guest.assertAlive()).generation > before.generation, mode);
  }
});

qemuTest('a DIMM that was plugged while the guest ran', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const content = await randomFile(dir.file('dimm'), 128 * MIB);
  const memory = { memoryArgs: ['-m', SLOTS], memoryBlocks: ['pc.ram'] };
  {
    await using guest = await startGuest(memory);
    await guest.waitForGenerations(2);
    const props = { size: 128 * MIB, 'mem-path': dir.file('dimm') };
    await guest.qmp.execute('object-add', { 'qom-type': 'memory-backend-file', id: 'd0', ...props });
    await guest.qmp.execute('device_add', { driver: 'pc-dimm', id: 'dimm0', memdev: 'd0' });
    await guest.stop();
    await saveTo(guest.qmp, `file:${path}`);
  }
  const plugged = words('-object memory-backend-ram,id=d0,size=128M -device pc-dimm,id=dimm0,memdev=d0');
  const setup = { ...memory, extraArgs: plugged };
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(path, setup, { mode, after: 'stop' });
    t.deepEqual([...guest.restored.blocks].toSorted(), inPlace(mode, ['d0', 'pc.ram']));
    t.is(Buffer.compare(await guest.readBlock('d0', 0, 128 * MIB), content), 0, mode);
    await guest.checkMemory();
    await guest.assertAlive();
  }
});

interface Persistent {
  readonly object: string;
  readonly device: string;
  readonly args: string;
  readonly block: RegExp;
  readonly size: number;
}

const PERSISTENT: readonly Persistent[] = [
  { object: 'nv0', device: 'nvdimm', args: 'nvdimm', block: /^nv0$/, size: 16 * MIB },
  { object: 'er0', device: 'acpi-erst', args: 'acpi-erst', block: /^er0$/, size: 64 * 1024 },
  { object: 'iv0', device: 'ivshmem-plain', args: 'ivshmem-plain,master=on', block: /\/iv0$/, size: MIB },
];

function persistentArgs(dir: TemporaryDirectory, share: string): readonly string[] {
  return PERSISTENT.flatMap(({ object, args, size }) =>
    words(
      `-object memory-backend-file,id=${object},size=${size},mem-path=${dir.file(object)},share=${share}
       -device ${args},memdev=${object}`,
    ),
  );
}

for (const share of ['on', 'off']) {
  qemuTest(`files behind devices stay the caller's, share=${share}`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.mr');
    const setup = {
      machine: 'q35,nvdimm=on',
      memoryArgs: ['-m', SLOTS],
      memoryBlocks: ['pc.ram'],
      region: { start: 16 * MIB, length: 16 * MIB },
      extraArgs: persistentArgs(dir, share),
    };
    const saved = new Map<string, Buffer>();
    // A page of ACPI errors has a format; the device refuses any other.
    for (const { object, size } of PERSISTENT) {
      const bytes = object === 'er0' ? Buffer.alloc(size) : randomFillSync(Buffer.alloc(size));
      await writeFile(dir.file(object), bytes);
    }
    {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      await guest.stop();
      for (const { id } of await guest.ramBlocks()) {
        const found = PERSISTENT.find(({ block }) => block.test(id));
        if (found === undefined) continue;
        saved.set(found.object, Buffer.from(await guest.readBlock(id, 0, found.size)));
      }
      await saveTo(guest.qmp, `file:${path}`);
    }
    t.is(saved.size, PERSISTENT.length);
    for (const mode of MODE_NAMES) {
      const changed = new Map<string, Buffer>();
      for (const { object, size } of PERSISTENT) {
        if (object !== 'er0') changed.set(object, await randomFile(dir.file(object), size));
      }
      // QEMU would have to empty the files.
      await using guest = await unlessRefused(t, mode, /nv0, which holds something/, () =>
        restoreGuest(path, setup, { mode, after: 'stop' }),
      );
      if (guest === undefined) {
        for (const [object, bytes] of changed)
          t.is(Buffer.compare(await readFile(dir.file(object)), bytes), 0, `${mode} ${object}`);
        continue;
      }
      const { warnings } = guest.restored;
      t.is(warnings.length, share === 'on' ? PERSISTENT.length : 0, warnings.join('; '));
      for (const { object, device, block, size } of PERSISTENT) {
        const memPath = await guest.qmp.execute('qom-get', {
          path: `/objects/${object}`,
          property: 'mem-path',
        });
        t.is(memPath, dir.file(object), mode);
        const id = (await guest.ramBlocks()).find((row) => block.test(row.id))?.id ?? '';
        const wanted = saved.get(object) ?? Buffer.alloc(0);
        t.is(Buffer.compare(await guest.readBlock(id, 0, size), wanted), 0, `${mode} ${object}`);
        const inFile = share === 'on' ? wanted : changed.get(object);
        if (inFile !== undefined)
          t.is(Buffer.compare(await readFile(dir.file(object)), inFile), 0, `${mode} ${object}`);
        const said = warnings.some((text) =>
          text.includes(`${device} (object ${object}, ${dir.file(object)}`),
        );
        t.is(said, share === 'on', `${mode} ${object}`);
      }
      await guest.checkMemory();
      await guest.assertAlive();
    }
  });
}

qemuTest('QEMU is not let to read a block into a read-only file, which kills it', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const content = await randomFile(dir.file('nv0'), 16 * MIB);
  const object = `-object memory-backend-file,id=nv0,size=16M,mem-path=${dir.file('nv0')},share=on,readonly=on`;
  const setup = {
    machine: 'q35,nvdimm=on',
    memoryArgs: ['-m', SLOTS],
    memoryBlocks: ['pc.ram'],
    extraArgs: words(`${object} -device nvdimm,memdev=nv0,unarmed=on`),
    region: { start: 16 * MIB, length: 16 * MIB },
  };
  await saveGuest(setup, path);
  await t.throwsAsync(restoreGuest(path, setup, { mode: 'eager' }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /object nv0 \(.*nv0\) is read-only in QEMU/,
  });
  for (const mode of MODE_NAMES.filter((name) => name !== 'eager')) {
    await using guest = await restoreGuest(path, setup, { mode, after: 'stop' });
    t.regex(
      guest.restored.warnings.join('\n'),
      /the memory of nvdimm \(object nv0\) comes out of the snapshot/,
    );
    t.is(Buffer.compare(await guest.readBlock('nv0', 0, 16 * MIB), content), 0, mode);
  }
});

const RAM = 64 * MIB;

for (const own of [true, false]) {
  aarch64Test(
    `virt of ARM with all blocks that it has, ${own ? 'an object' : '-m'} for its memory`,
    async (t) => {
      await using dir = await temporaryDirectory();
      const path = dir.file('guest.mr');
      const content = await randomFile(dir.file('ram'), RAM);
      const machine = `virt,secure=on,mte=on${own ? ',memory-backend=ram0' : ''}`;
      const bare = words(`-machine ${machine} -cpu max -m 64M -nodefaults -display none -accel tcg`);
      const file = own
        ? words(`-object memory-backend-file,id=ram0,size=64M,mem-path=${dir.file('ram')}`)
        : [];
      {
        await using qemu = await QemuProcess.start({
          binary: QEMU_AARCH64_BINARY,
          args: [...bare, ...file, '-S'],
        });
        await saveTo(qemu.qmp, `file:${path}`);
      }
      for (const mode of MODE_NAMES) {
        const args = own ? [...bare, '-object', 'memory-backend-ram,id=ram0,size=64M'] : bare;
        await using guest = await restore(path, { binary: QEMU_AARCH64_BINARY, args, mode, after: 'stop' });
        const block = own ? 'ram0' : 'mach-virt.ram';
        t.deepEqual(guest.blocks, inPlace(mode, [block]));
        if (!own) continue;
        const dump = dir.file(`dump-${mode}`);
        // QEMU puts the device tree at the beginning.
        await guest.qemu.qmp.execute('pmemsave', {
          val: 2 ** 30 + 8 * MIB,
          size: RAM - 8 * MIB,
          filename: dump,
        });
        t.is(Buffer.compare(await readFile(dump), content.subarray(8 * MIB)), 0, mode);
      }
    },
  );
}
