import { stat } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { pageCacheState } from '../../ts/engine/page-cache.ts';
import { freshArguments, save, Snapshot } from '../../ts/index.ts';
import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { versionsTest, binaryOf, WITH_MAPPED_RAM } from '../versions/qemus.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { type GuestSetup, MIB, TestGuest } from '../support/qemu.ts';
import { guestArgs, guestMemoryBlocks, guestRegionOf } from '../support/qemu-setup.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const REGION = { start: 16 * MIB, length: 8 * MIB };
/** What firmware and devices have written beside the region, at most. */
const BOOT = 8 * MIB;

/** Boots the built-in guest on an empty file. */
async function startFresh(setup: GuestSetup, dir: TemporaryDirectory, path: string): Promise<TestGuest> {
  const binary = setup.binary ?? QEMU_BINARY;
  await writeGuestDisk(dir.file('boot.img'), guestRegionOf(setup));
  const { args, blocks } = await freshArguments({
    args: guestArgs(setup, dir.path),
    path,
    binary,
  });
  const qemu = await QemuProcess.start({ binary, args });
  return new TestGuest(qemu, dir.path, guestRegionOf(setup), blocks);
}

/** Compares the guest that stands still with a snapshot, byte by byte. */
async function assertMemory(t: ExecutionContext, guest: TestGuest, path: string): Promise<void> {
  await using snapshot = await Snapshot.open(path);
  for (const { id, length } of snapshot.completeRam().blocks) {
    const [found, wanted] = [await guest.readBlock(id, 0, length), await snapshot.read(id, 0, length)];
    t.is(Buffer.compare(found, wanted), 0, id);
  }
}

/** Saves a guest, restores it, and saves the clone as what has changed since. */
async function savesWhatIsWritten(t: ExecutionContext, setup: GuestSetup): Promise<void> {
  await using dir = await temporaryDirectory();
  // The guest takes its folder along when it ends.
  await using kept = await temporaryDirectory();
  const [whole, delta, empty] = [kept.file('whole.mr'), kept.file('guest.delta'), kept.file('empty')];
  {
    await using guest = await startFresh(setup, dir, empty);
    await guest.waitForGenerations(2);
    t.deepEqual(guest.memoryBlocks, guestMemoryBlocks(setup));
    const before = pageCacheState(empty)?.cachedBytes ?? Number.NaN;
    const { writer, capture, writerWhy } = await save(guest.qmp, whole, { writer: 'engine', after: 'stop' });
    t.is(writer, 'engine', writerWhy);
    const changed = capture?.changedBytes ?? Number.NaN;
    t.true(changed >= REGION.length && changed <= REGION.length + BOOT, `${changed}`);
    t.true((await stat(whole)).blocks * 512 <= changed + MIB);
    // The look at all of the memory, below, reads the holes.
    const after = pageCacheState(empty)?.cachedBytes ?? Number.NaN;
    t.true(after <= before + MIB, `the save reads holes: ${before} before, ${after} after`);
    await assertMemory(t, guest, whole);
    t.is((await stat(empty)).blocks, 0, 'nothing is written into the file');
    await guest.assertAlive();
  }
  await using clone = await restoreGuest(whole, setup, {});
  await clone.waitForGenerations(1);
  const next = await save(clone.qmp, delta, { writer: 'engine', base: 'auto', form: 'delta', after: 'stop' });
  t.is(next.capture?.form, 'delta');
  t.is(next.capture?.base, whole);
  t.true((next.capture?.changedBytes ?? Number.NaN) <= REGION.length + BOOT);
  await assertMemory(t, clone, delta);
  await clone.close();
  await using again = await restoreGuest(delta, setup, {});
  await again.assertAlive();
}

for (const machine of ['q35', 'pc', 'microvm,acpi=on']) {
  qemuTest(`a guest on ${machine} that boots on an empty file is saved as what it has written`, (t) =>
    savesWhatIsWritten(t, { machine, memoryMiB: 256, region: REGION }),
  );
}

qemuTest('two NUMA blocks have their parts of one empty file', (t) =>
  savesWhatIsWritten(t, { numa: true, memoryMiB: 256, region: { start: 124 * MIB, length: 8 * MIB } }),
);

for (const version of WITH_MAPPED_RAM) {
  versionsTest(`QEMU ${version} boots a guest on an empty file`, (t) =>
    savesWhatIsWritten(t, { binary: binaryOf(version), memoryMiB: 128, region: REGION }),
  );
}

qemuTest('guests on one empty file see nothing of each other', async (t) => {
  await using one = await temporaryDirectory();
  await using other = await temporaryDirectory();
  const setup: GuestSetup = { memoryMiB: 64, region: REGION };
  await using kept = await temporaryDirectory();
  const empty = kept.file('empty');
  await using first = await startFresh(setup, one, empty);
  await using second = await startFresh(setup, other, empty);
  await Promise.all([first.waitForGenerations(3), second.waitForGenerations(3)]);
  await first.assertAlive();
  await second.assertAlive();
  t.is((await stat(empty)).blocks, 0);
});
