import { readdir, readFile } from 'node:fs/promises';

import { residentBytes } from '../../ts/host/process-memory.ts';
import { planSave } from '../../ts/index.ts';
import { queryRamBlocks } from '../../ts/qemu/memory/query-ram-blocks.ts';
import { save } from '../../ts/save/save.ts';
import { MIB, startGuest, type GuestSetup } from '../support/qemu.ts';
import { aarch64Test, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { restoreVirtGuest, startVirtGuest, type VirtSetup } from '../support/virt-guest.ts';

const SHARED: GuestSetup = { backend: 'file', share: true };

/** Cards whose video memory is larger than a small block, and hardly used in text mode. */
for (const card of [
  'VGA,vgamem_mb=64',
  'bochs-display,vgamem=64M',
  'vmware-svga,vgamem_mb=64',
  'secondary-vga,vgamem_mb=32',
]) {
  qemuTest(`the engine saves a guest with large, nearly empty video memory: ${card}`, async (t) => {
    await using dir = await temporaryDirectory();
    const setup = { ...SHARED, extraArgs: ['-device', card] };
    const snapshot = dir.file('guest.snapshot');
    {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(1);
      // By QEMU's migration: it writes what is in no file.
      const saved = await save(guest.qmp, snapshot, { guard: 'off', xIgnoreShared: 'on' });
      t.like(saved, { writer: 'engine', verified: true, warnings: [] });
      t.regex(saved.writerWhy, /or hold less: /);
      await guest.assertAlive();
    }
    await using guest = await restoreGuest(snapshot, setup, { mode: 'preload', after: 'stop' });
    await guest.assertAlive();
  });
}

aarch64Test('flash that is padded with zeros, not with a hole, costs nothing either', async (t) => {
  await using dir = await temporaryDirectory();
  const variables = Buffer.alloc(40 * MIB);
  variables.fill(0x5a, 0, 4096);
  variables.fill(0xa5, variables.length - 4096);
  const setup: VirtSetup = { arch: 'aarch64', backend: 'file', flash: 'pair', variables };
  const snapshot = dir.file('guest.snapshot');
  {
    await using guest = await startVirtGuest(setup);
    await guest.waitForGenerations(1);
    const saved = await save(guest.qmp, snapshot, { guard: 'off' });
    t.like(saved, { writer: 'engine', verified: true });
    // Where QEMU's memory may not be read, the kernel's account is an upper bound. A page that was only read counts not.
    const rows = (await queryRamBlocks(guest.qmp)) ?? [];
    const smaps = await readFile(`/proc/${guest.qemu.pid}/smaps`, 'latin1');
    for (const [id, least, most] of [
      ['virt.flash0', 4096, 4 * MIB],
      ['virt.flash1', 8192, variables.length + 4 * MIB],
    ] as const) {
      const row = rows.find((candidate) => candidate.id === id);
      const bytes = residentBytes(smaps, { address: row?.hostAddress ?? 0, length: row?.usedLength ?? 0 });
      t.true(bytes !== undefined && bytes >= least && bytes <= most, `${id}: ${bytes}`);
    }
  }
  await using guest = await restoreVirtGuest(
    snapshot,
    { ...setup, variables: Buffer.alloc(MIB, 0x77) },
    { mode: 'preload', after: 'stop' },
  );
  for (const [at, byte] of [
    [0, 0x5a],
    [4096, 0],
    [variables.length - 4096, 0xa5],
    [variables.length, 0],
  ] as const) {
    t.true(
      (await guest.readBlock('virt.flash1', at, 4096)).every((found) => found === byte),
      `${at}`,
    );
  }
});

aarch64Test(
  'flash that holds much is taken out of QEMU’s process, with the memory that is in files',
  async (t) => {
    await using dir = await temporaryDirectory();
    const variables = Buffer.alloc(17 * MIB, 0xa5);
    const setup: VirtSetup = { arch: 'aarch64', backend: 'file', flash: 'pair', variables };
    const path = dir.file('guest.snapshot');
    {
      await using guest = await startVirtGuest(setup);
      await guest.waitForGenerations(1);
      const plan = await planSave(guest.qmp, path);
      t.like(plan, { writer: { value: 'engine' }, stateOnly: { value: true }, engineBlocks: [] });
      t.deepEqual(await readdir(dir.path), []);
      const saved = await save(guest.qmp, path, { guard: 'off' });
      t.like(saved, { writer: 'engine', verified: true, warnings: [], runState: 'running' });
      t.true((saved.capture?.changedBytes ?? 0) >= variables.length);
      await guest.assertAlive();
    }
    await using clone = await restoreVirtGuest(path, setup, { after: 'stop' });
    const flash = await clone.readBlock('virt.flash1', 0, variables.length);
    t.is(Buffer.compare(flash, variables), 0);
    await clone.assertAlive();
  },
);
