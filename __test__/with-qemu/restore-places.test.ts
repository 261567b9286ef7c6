import { randomFillSync } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { saveTo } from '../support/plain-migration.ts';
import { MODE_NAMES, modeOf } from '../../ts/restore/modes/modes.ts';
import { restore } from '../../ts/restore/restore.ts';
import type { SnapshotSource } from '../../ts/snapshot/snapshot-source.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';

/** Restores in all modes and lets the guest prove its memory. */
async function restores(t: ExecutionContext, source: SnapshotSource, setup: GuestSetup): Promise<void> {
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(source, setup, { mode, after: 'stop' });
    const before = await guest.checkMemory();
    const after = await guest.assertAlive();
    t.true(after.generation > before.generation, mode);
  }
}

qemuTest('a guest whose devices have memory of their own', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  const setup = {
    extraArgs: ['-device', 'VGA', '-device', 'e1000', '-device', 'virtio-rng-pci', '-smp', '2'],
  };
  await saveGuest(setup, snapshot);
  await restores(t, snapshot, setup);
});

qemuTest('a machine without PCI and with memory of another name', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  const setup = { machine: 'microvm,acpi=on' };
  await saveGuest(setup, snapshot);
  await restores(t, snapshot, setup);
});

qemuTest('a command line that says neither machine type nor size', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  await saveGuest({ backend: 'ram' }, snapshot);
  const args = '-nodefaults -no-user-config -vga none -display none -accel tcg'.split(' ');
  const devices = ['-drive', `if=ide,format=raw,file=${dir.file('boot.img')}`, '-serial', 'null'];
  await writeGuestDisk(dir.file('boot.img'));
  for (const mode of MODE_NAMES) {
    await using guest = await restore(snapshot, { binary: QEMU_BINARY, args: [...args, ...devices], mode });
    t.is(guest.runState, 'running');
    t.deepEqual(guest.blocks, modeOf(mode).startsWithMemory ? ['m0'] : []);
  }
});

qemuTest('a snapshot inside another file, and one behind a descriptor', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('container');
  await writeFile(path, Buffer.alloc(8192, 'L'));
  {
    await using guest = await startGuest({});
    await guest.waitForGenerations(2);
    await guest.stop();
    await saveTo(guest.qmp, `file:${path},offset=8192`, {});
  }
  await restores(t, `file:${path},offset=8192`, {});
  await using file = await open(path);
  await restores(t, { fd: file.fd, offset: 8192 }, {});
});

qemuTest(
  'memory that holds something before the guest comes is overwritten to the last zero page',
  async (t) => {
    await using dir = await temporaryDirectory();
    const snapshot = dir.file('guest.snapshot');
    const setup: GuestSetup = { backend: 'file', share: true, memPathDir: dir.path };
    await saveGuest(setup, snapshot);
    await writeFile(dir.file('m0.ram'), randomFillSync(Buffer.alloc(128 * MIB)));
    await using guest = await restoreGuest(snapshot, setup, { mode: 'eager', after: 'stop' });
    t.is(guest.restored.form, 'stream');
    t.regex(guest.restored.why, /m0 is in .*m0\.ram, which holds something/);
    await guest.checkMemory();
    // The place is far above the memory that the guest uses.
    const memory = await guest.readBlock('m0', 100 * MIB, MIB);
    t.true(memory.every((byte) => byte === 0));
    await guest.assertAlive();
  },
);

qemuTest('a snapshot whose device state only QEMU can measure is for QEMU to read', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  const setup = { machine: 'q35,suppress-vmdesc=on' };
  await saveGuest(setup, snapshot);
  for (const mode of ['instant', 'preload'] as const) {
    await t.throwsAsync(restoreGuest(snapshot, setup, { mode }), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
  }
  await using guest = await restoreGuest(snapshot, setup, { mode: 'eager' });
  t.regex(guest.restored.warnings.join(), /of its device state nobody can tell/);
  await guest.assertAlive();
});
