import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { Snapshot, verify } from '../../ts/index.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { composeSnapshot } from '../support/composed-snapshot.ts';
import { loadFrom, saveTo } from '../support/plain-migration.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { aarch64Test, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { restoreVirtGuest, startVirtGuest, type VirtSetup } from '../support/virt-guest.ts';

const SMALL = { memoryMiB: 64, region: { start: 16 * MIB, length: 16 * MIB } } as const;
const FILE = { ...SMALL, backend: 'file', share: true } as const;
const DEVICES =
  '-smp 2 -device VGA -device qemu-xhci,id=xhci -device usb-tablet,bus=xhci.0 -netdev user,id=n0 -device e1000e,netdev=n0 -device intel-hda -netdev user,id=n1 -device virtio-net-pci,netdev=n1 -device virtio-rng-pci -device virtio-balloon-pci -device virtio-serial-pci -device virtio-gpu-pci -device vmgenid'.split(
    ' ',
  );
/** virtio-mem gives memory back, which a mapping of the snapshot does not allow. */
const VIRTIO_MEM: GuestSetup = {
  ...SMALL,
  memoryArgs: ['-m', '64M,maxmem=1G,slots=2', '-object', 'memory-backend-ram,id=more,size=128M'],
  memoryBlocks: ['pc.ram'],
  extraArgs: ['-device', 'virtio-mem-pci,id=vm0,memdev=more,requested-size=64M'],
};

const CASES: readonly (readonly [string, GuestSetup])[] = [
  ['q35, plain -m', { ...SMALL, machine: 'q35' }],
  ['i440fx, plain -m, default devices', { ...SMALL, machine: 'pc', defaults: true }],
  ['q35, shared file, default devices', { ...FILE, machine: 'q35', defaults: true }],
  ['q35, many devices', { ...SMALL, machine: 'q35', extraArgs: DEVICES }],
  ['i440fx, many devices', { ...FILE, machine: 'pc', extraArgs: DEVICES }],
  ['q35, two NUMA blocks', { machine: 'q35', memoryMiB: 128, numa: true, backend: 'file', share: true }],
];

for (const [title, setup] of CASES) {
  qemuTest(`a snapshot of device state and memory goes on with QEMU alone and in all modes: ${title}`, (t) =>
    assertGoesOn(t, setup, true),
  );
}

qemuTest('a snapshot of device state and memory goes on with QEMU alone: virtio-mem', (t) =>
  assertGoesOn(t, VIRTIO_MEM, false),
);

async function assertGoesOn(t: ExecutionContext, setup: GuestSetup, modes: boolean): Promise<void> {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  const saved = await (async () => {
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    await composeSnapshot(guest, snapshot);
    const progress = await guest.checkMemory();
    await guest.assertAlive();
    return progress;
  })();
  t.deepEqual((await verify(snapshot)).findings, []);
  {
    await using opened = await Snapshot.open(snapshot);
    t.is((await opened.info()).runState, 'running');
    t.deepEqual((await opened.devices()).problems, []);
  }
  for (const multifd of [false, true]) {
    // Shared files of the destination would be those of the source.
    await using alone = await startGuest({ ...setup, incoming: true });
    await alone.qmp.execute('stop');
    await loadFrom(alone.qmp, `file:${snapshot}`, { multifd });
    t.deepEqual(await alone.checkMemory(), saved, `multifd ${multifd}`);
    await alone.assertAlive();
    t.is(alone.qemu.stderr, '');
  }
  for (const mode of modes ? MODE_NAMES : []) {
    await using guest = await restoreGuest(snapshot, setup, { mode, after: 'stop' });
    t.deepEqual(await guest.checkMemory(), saved, mode);
    await guest.assertAlive();
    t.deepEqual(guest.restored.warnings, [], mode);
    await using running = await restoreGuest(snapshot, setup, { mode, after: 'as-saved' });
    t.is(running.restored.runState, 'running', mode);
  }
}

qemuTest(
  'a snapshot of a restored guest is described by the snapshot that it was restored from',
  async (t) => {
    await using dir = await temporaryDirectory();
    const [first, second, third] = [dir.file('first'), dir.file('second'), dir.file('third')];
    const setup: GuestSetup = { ...SMALL, machine: 'q35', defaults: true };
    {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      await guest.stop();
      await saveTo(guest.qmp, `file:${first}`, { multifd: true });
    }
    await using base = await Snapshot.open(first);
    {
      await using clone = await restoreGuest(first, setup, { mode: 'instant' });
      await clone.waitForGenerations(2);
      const members = { 'mapped-ram-origin': { name: 'first' } };
      await composeSnapshot(clone, second, { base: base.index, members });
      await clone.assertAlive();
    }
    await using composed = await Snapshot.open(second);
    t.deepEqual(composed.index.vmdescription?.json?.['mapped-ram-origin'], { name: 'first' });
    const { devices, undescribed, problems } = await composed.devices();
    t.deepEqual([undescribed, problems], [[], []]);
    const plain = devices.filter(({ vmsdName }) => vmsdName === '').map(({ name }) => name);
    t.deepEqual(
      plain,
      (await base.devices()).devices.filter(({ vmsdName }) => vmsdName === '').map(({ name }) => name),
      'every device has the description of the base',
    );
    t.is((await composed.cpus()).length, 1);
    {
      await using clone = await restoreGuest(second, setup, { mode: 'instant' });
      await clone.waitForGenerations(2);
      await composeSnapshot(clone, third, { base: composed.index });
    }
    for (const mode of MODE_NAMES) {
      await using clone = await restoreGuest(third, setup, { mode, after: 'stop' });
      await clone.assertAlive();
    }
  },
);

qemuTest('a guest that was stopped before stays stopped', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  {
    await using guest = await startGuest(SMALL);
    await guest.waitForGenerations(1);
    await guest.stop();
    await composeSnapshot(guest, snapshot);
  }
  await using guest = await restoreGuest(snapshot, SMALL, { mode: 'instant', after: 'as-saved' });
  t.is(guest.restored.runState, 'paused');
  await guest.assertAlive();
});

const FLASH_BYTES = 256 * 1024;

qemuTest('flash comes up as it was, whatever the image of the destination holds', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  const data = randomBytes(FLASH_BYTES);
  data.fill(0, 4096, 8192);
  const flash = async (name: string, bytes: Uint8Array): Promise<GuestSetup> => ({
    ...SMALL,
    machine: 'pc',
    extraArgs: await flashArgs(dir, name, bytes),
  });
  {
    await using guest = await startGuest(await flash('source', data));
    await guest.waitForGenerations(1);
    await composeSnapshot(guest, snapshot);
  }
  for (const mode of MODE_NAMES) {
    const other = await flash(mode, randomBytes(FLASH_BYTES));
    await using guest = await restoreGuest(snapshot, other, { mode, after: 'stop' });
    t.deepEqual(Buffer.from(await guest.readBlock('system.flash1', 0, FLASH_BYTES)), data, mode);
    await guest.assertAlive();
  }
});

/** Two pflash devices: a copy of QEMU's own firmware, and data. */
async function flashArgs(
  dir: TemporaryDirectory,
  name: string,
  data: Uint8Array,
): Promise<readonly string[]> {
  const bios = await (async () => {
    await using guest = await startGuest({});
    await guest.waitForGenerations(1);
    return await guest.readBlock('pc.bios', 0, FLASH_BYTES);
  })();
  const images = [dir.file(`${name}-0`), dir.file(`${name}-1`)] as const;
  await writeFile(images[0], bios);
  await writeFile(images[1], data);
  return images.flatMap((file) => ['-drive', `if=pflash,format=raw,file=${file}`]);
}

for (const flash of ['none', 'pair'] as const) {
  for (const backend of [undefined, 'file'] as const) {
    const setup: VirtSetup = { arch: 'aarch64', backend, flash, defaults: flash === 'pair' };
    const memory = backend === undefined ? 'plain -m' : 'shared file';
    aarch64Test(
      `a snapshot of device state and memory goes on: virt, ${memory}, flash ${flash}`,
      async (t) => {
        await using dir = await temporaryDirectory();
        const snapshot = dir.file('guest.snapshot');
        const saved = await (async () => {
          await using guest = await startVirtGuest(setup);
          await guest.waitForGenerations(2);
          await composeSnapshot(guest, snapshot);
          const progress = await guest.checkMemory();
          await guest.assertAlive();
          return progress;
        })();
        t.deepEqual((await verify(snapshot)).findings, []);
        for (const mode of MODE_NAMES) {
          await using guest = await restoreVirtGuest(snapshot, setup, { mode, after: 'stop' });
          t.deepEqual(await guest.checkMemory(), saved, mode);
          await guest.assertAlive();
          t.deepEqual(guest.restored.warnings, [], mode);
        }
      },
    );
  }
}
