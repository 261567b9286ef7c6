import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadFrom, saveTo } from '../support/plain-migration.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { readStreamIndex, readVmdescriptionFor, walkStream } from '../../ts/stream/index.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { startGuest } from '../support/qemu.ts';
import { assertContiguous, assertEncodedAlike, jsonOf } from '../stream/compare.ts';
import { toMappedRam, toPlain } from '../stream/convert.ts';
import { OpenFile } from '../support/open-reader.ts';
import { collect } from '../stream/strict-reader.ts';

interface Save {
  readonly args: readonly string[];
  readonly capabilities?: readonly string[];
  readonly base?: number;
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

/** Lets QEMU save a stopped guest, and removes the file when the callback is done. */
async function withSave(save: Save, use: (path: string, directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-stream-'));
  try {
    const path = join(directory, 'saved');
    await saveStopped(path, save, directory);
    await use(path, directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function saveStopped(
  path: string,
  { args, capabilities = [], base }: Save,
  directory: string,
): Promise<void> {
  const machine = ['-nodefaults', '-no-user-config', '-display', 'none', '-S', '-m', '64'];
  const replaced = args.map((arg) => arg.replaceAll('DIR', directory));
  await writeFile(join(directory, 'disk'), '');
  await truncate(join(directory, 'disk'), 4 * 1024 * 1024);
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: [...machine, ...replaced] });
  const others = capabilities.filter(
    (capability) => capability !== 'mapped-ram' && capability !== 'x-ignore-shared',
  );
  await qemu.qmp.execute('migrate-set-capabilities', {
    capabilities: others.map((capability) => ({ capability, state: true })),
  });
  await saveTo(qemu.qmp, `file:${path}${base === undefined ? '' : `,offset=${base}`}`, {
    mappedRam: capabilities.includes('mapped-ram'),
    xIgnoreShared: capabilities.includes('x-ignore-shared'),
  });
  await qemu.quit();
}

const manyDevices = words(`
  -drive if=none,id=disk,file=DIR/disk,format=raw -audiodev none,id=sound
  -device virtio-net-pci -device virtio-blk-pci,drive=disk,num-queues=2 -device virtio-scsi-pci
  -device virtio-gpu-pci,max_outputs=2 -device virtio-rng-pci -device virtio-balloon-pci
  -device virtio-serial-pci -device virtio-keyboard-pci -device qemu-xhci -device usb-tablet -device usb-kbd
  -device e1000 -device e1000e -device rtl8139 -device VGA -device intel-hda
  -device hda-duplex,audiodev=sound -device megasas -serial null
  -m 64M,maxmem=1G,slots=2 -object memory-backend-ram,id=more,size=128M
  -device virtio-mem-pci,id=vm0,memdev=more,requested-size=64M`);
const flash = words('-drive if=pflash,format=raw,file=DIR/disk');
const shared = words(`
  -object memory-backend-file,id=m0,mem-path=DIR/ram,size=64M,share=on -machine memory-backend=m0`);

const saves: readonly (readonly [string, Save])[] = [
  ['q35', { args: ['-machine', 'q35'] }],
  ['i440fx', { args: ['-machine', 'pc'] }],
  ['microvm', { args: ['-machine', 'microvm'] }],
  ['an old i440fx with two processors', { args: ['-machine', 'pc-i440fx-6.2', '-smp', '2'] }],
  ['a q35 with many devices', { args: ['-machine', 'q35', ...manyDevices] }],
  ['an i440fx with many devices', { args: ['-machine', 'pc', ...manyDevices] }],
  ['an i440fx with flash', { args: ['-machine', 'pc', ...flash] }],
  ['a q35 with user networking', { args: ['-machine', 'q35', '-nic', 'user,model=virtio'] }],
  ['a stream behind 12345 bytes', { args: ['-machine', 'q35'], base: 12_345 }],
  [
    'a q35 with a uuid',
    {
      args: ['-machine', 'q35', '-uuid', '00112233-4455-6677-8899-aabbccddeeff'],
      capabilities: ['validate-uuid'],
    },
  ],
  ['a q35 with dirty bitmaps', { args: ['-machine', 'q35'], capabilities: ['dirty-bitmaps'] }],
];

for (const [what, save] of saves) {
  for (const form of ['plain', 'mapped-ram'] as const) {
    qemuTest(`${what}: a walk of the ${form} file accounts for every byte`, async (t) => {
      const capabilities = [...(save.capabilities ?? []), ...(form === 'mapped-ram' ? ['mapped-ram'] : [])];
      await withSave({ ...save, capabilities }, async (path) => {
        await using file = await OpenFile.open(path);
        const base = save.base ?? 0;
        const records = await collect(walkStream(file, { offset: base }));
        assertContiguous(t, records, base, file.size);
        const index = await readStreamIndex(file, { offset: base });
        t.is(index.problem, undefined);
        t.true(index.complete);
        t.is(index.ram?.form, form);
        const described = index.vmdescription?.json?.devices.map(
          ({ name, instance_id: id }) => `${name}/${id}`,
        );
        const full = index.sections.filter(({ kind }) => kind === 'full');
        t.deepEqual(
          full.map(({ idstr, instanceId }) => `${idstr}/${instanceId}`),
          described,
        );
        t.true(full.length >= 14);
        t.is(
          full.filter(({ early }) => early).length,
          full.filter(({ idstr }) => idstr.endsWith('virtio-mem-device-early')).length,
        );
        await assertEncodedAlike(t, file, index);
      });
    });
  }
}

qemuTest('x-ignore-shared: addresses are read and shared RAM has no pages', async (t) => {
  const save = { args: ['-machine', 'q35', ...shared], capabilities: ['x-ignore-shared'] };
  await withSave(save, async (path) => {
    await using file = await OpenFile.open(path);
    const records = await collect(walkStream(file));
    assertContiguous(t, records, 0, file.size);
    const pages = records.filter((record) => record.type === 'ram-page');
    t.true(pages.length > 0);
    t.true(pages.every(({ block }) => block !== 'm0'));
    const index = await readStreamIndex(file);
    // The address is that of docs/format.md §10.
    t.is(index.ram?.blocks.find(({ id }) => id === 'pc.bios')?.address, 0xfffc0000);
    await assertEncodedAlike(t, file, index);
  });
});

qemuTest('x-ignore-shared with mapped-ram: an address stands before every header', async (t) => {
  const save = { args: ['-machine', 'q35'], capabilities: ['x-ignore-shared', 'mapped-ram'] };
  await withSave(save, async (path) => {
    await using file = await OpenFile.open(path);
    assertContiguous(t, await collect(walkStream(file)), 0, file.size);
    const index = await readStreamIndex(file);
    t.is(index.ram?.form, 'mapped-ram');
    t.is(index.ram?.blocks.find(({ id }) => id === 'pc.bios')?.address, 0xfffc0000);
    await assertEncodedAlike(t, file, index);
  });
});

qemuTest('without a vmdescription RAM is read and the devices are opaque', async (t) => {
  await withSave({ args: ['-machine', 'q35,suppress-vmdesc=on'] }, async (path) => {
    await using file = await OpenFile.open(path);
    assertContiguous(t, await collect(walkStream(file)), 0, file.size);
    const index = await readStreamIndex(file);
    t.is(index.problem?.code, 'ERR_MAPPED_RAM_INCOMPLETE');
    t.true(index.ram?.ended);
    t.is((index.opaque?.offset ?? 0) + (index.opaque?.length ?? 0), file.size);
  });
});

qemuTest('a rewritten vmdescription is what QEMU writes with those capabilities', async (t) => {
  const args = ['-machine', 'q35'];
  for (const capabilities of [['mapped-ram'], ['x-ignore-shared'], ['x-ignore-shared', 'mapped-ram'], []]) {
    await withSave({ args }, async (plainPath) => {
      await withSave({ args, capabilities }, async (path) => {
        await using plain = await OpenFile.open(plainPath);
        await using other = await OpenFile.open(path);
        const [from, to] = [await readStreamIndex(plain), await readStreamIndex(other)];
        const expected = await readVmdescriptionFor(other, to, to.configuration);
        t.deepEqual(await readVmdescriptionFor(plain, from, to.configuration), expected);
        t.deepEqual(await readVmdescriptionFor(other, to, from.configuration), await jsonOf(plain, from));
        t.deepEqual(expected, await jsonOf(other, to));
      });
    });
  }
});

qemuTest('a plain save turned into mapped-ram, and that turned back, are restored and run on', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-stream-'));
  try {
    const paths = ['first', 'mapped', 'plain'].map((name) => join(directory, name));
    const [first = '', mapped = '', plain = ''] = paths;
    const region = { start: 16 * 1024 * 1024, length: 16 * 1024 * 1024 };
    {
      await using guest = await startGuest({ memoryMiB: 64, region });
      await guest.waitForGenerations(2);
      await guest.stop();
      await saveTo(guest.qmp, `file:${first}`, { mappedRam: false });
    }
    await toMappedRam(first, mapped);
    await toPlain(mapped, plain);
    for (const path of [mapped, plain]) {
      await using file = await OpenFile.open(path);
      t.true((await readStreamIndex(file)).complete);
      await using guest = await startGuest({ memoryMiB: 64, region, incoming: true });
      await loadFrom(guest.qmp, `file:${path}`, { mappedRam: path === mapped });
      await guest.assertAlive();
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
