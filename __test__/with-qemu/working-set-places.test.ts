import { spawnSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { recordWorkingSet, Snapshot } from '../../ts/index.ts';
import { filesystem } from '../support/loop-filesystem.ts';
import { PoolGuests } from '../support/pool-guests.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { type GuestSetup, MIB } from '../support/qemu.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { saveTwice } from '../support/saved-twice.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const REGION = { start: 16 * MIB, length: 8 * MIB };
const SETUP: GuestSetup = { memoryMiB: 64, region: REGION };
/** Some pages of the region are zero, and so not in the snapshot. */
const LEAST = 0.7 * REGION.length;

/** Lets a guest walk its region, and records what it has touched. Returns the bytes. */
async function record(snapshot: string, setup: GuestSetup = SETUP): Promise<number> {
  await using guest = await restoreGuest(snapshot, setup, {});
  await guest.waitForGenerations(2);
  return (await recordWorkingSet(guest.qmp, snapshot)).bytes;
}

/** What the page cache has of the guest's region in a snapshot, in bytes. */
async function cachedIn(path: string, block = 'pc.ram', region = REGION): Promise<number> {
  await using snapshot = await Snapshot.open(path);
  const area = snapshot.completeRam(true).blocks.find(({ id }) => id === block)?.area;
  const place = { offset: (area?.pagesOffset ?? Number.NaN) + region.start, length: region.length };
  return pageCacheState(path, place)?.cachedBytes ?? Number.NaN;
}

async function isReadAhead(t: ExecutionContext, snapshot: string, dropped: string): Promise<void> {
  await dropPageCache(dropped);
  await using guest = await restoreGuest(snapshot, SETUP, { after: 'stop' });
  const { workingSet, warnings } = guest.restored;
  t.deepEqual(warnings, []);
  t.is(workingSet?.path, `${dropped}.working-set`);
  t.true((workingSet?.bytes ?? 0) >= LEAST);
  await workingSet?.whenAsked;
  t.true((await cachedIn(dropped)) >= LEAST);
  await guest.assertAlive();
}

for (const kind of ['btrfs', 'xfs'] as const) {
  qemuTest(`a working set is recorded and read ahead on ${kind}`, async (t) => {
    await using dir = await temporaryDirectory();
    const place = await filesystem(t, dir, kind);
    if (place === undefined) {
      t.pass();
      return;
    }
    try {
      const snapshot = place.file('guest.snapshot');
      await saveGuest(SETUP, snapshot);
      t.true((await record(snapshot)) >= LEAST);
      await isReadAhead(t, snapshot, snapshot);
    } finally {
      t.is(spawnSync('umount', [place.path]).status, 0);
    }
  });
}

qemuTest('the working set of a delta is one of its base, which QEMU maps', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta } = await saveTwice(SETUP, dir);
  t.true((await record(delta)) >= LEAST);
  await isReadAhead(t, delta, base);
  await isReadAhead(t, base, base);
});

qemuTest('each of two blocks has its own pages, in the order of the file', async (t) => {
  await using dir = await temporaryDirectory();
  const setup: GuestSetup = { memoryMiB: 64, numa: true, region: { start: 28 * MIB, length: 8 * MIB } };
  const snapshot = dir.file('guest.snapshot');
  await saveGuest(setup, snapshot);
  t.true((await record(snapshot, setup)) >= LEAST);
  await dropPageCache(snapshot);
  await using guest = await restoreGuest(snapshot, setup, { after: 'stop' });
  await guest.restored.workingSet?.whenAsked;
  t.true((await cachedIn(snapshot, 'm0', { start: 28 * MIB, length: 4 * MIB })) >= LEAST / 2);
  t.true((await cachedIn(snapshot, 'm1', { start: 0, length: 4 * MIB })) >= LEAST / 2);
  await guest.assertAlive();
});

qemuTest('a snapshot that was made anew does not take the set of the old one', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, later } = await saveTwice(SETUP, dir);
  await record(base);
  await writeFile(`${later}.working-set`, await readFile(`${base}.working-set`));
  await using guest = await restoreGuest(later, SETUP, { after: 'stop' });
  t.is(guest.restored.workingSet, undefined);
  t.is(guest.restored.warnings.length, 1);
  t.regex(guest.restored.warnings[0] ?? '', /no working set was read ahead: .*for another save/);
});

qemuTest('the reading is over when a guest is gone, or does not come', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  await saveGuest(SETUP, snapshot);
  await record(snapshot);
  await dropPageCache(snapshot);
  const guest = await restoreGuest(snapshot, SETUP, { after: 'stop' });
  const { workingSet } = guest.restored;
  t.true((workingSet?.bytes ?? 0) >= LEAST);
  await guest.restored[Symbol.asyncDispose]();
  const state = await Promise.race([workingSet?.whenAsked.then(() => 'over'), turn('under way')]);
  t.is(state, 'over');
  await guest.close();
  await dropPageCache(snapshot);
  await t.throwsAsync(restoreGuest(snapshot, { ...SETUP, binary: '/no/such/qemu' }, {}));
});

qemuTest('a pool reads the working set once, for all of its guests', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  await saveGuest(SETUP, snapshot);
  await record(snapshot);
  await dropPageCache(snapshot);
  const guests = new PoolGuests(dir, SETUP);
  {
    await using pool = await guests.pool(snapshot, { size: 1, after: 'stop' });
    await using first = await pool.take();
    await using second = await pool.take();
    t.is(first.workingSet?.path, `${snapshot}.working-set`);
    t.true((first.workingSet?.bytes ?? 0) >= LEAST);
    t.is(second.workingSet, first.workingSet);
    await first.workingSet?.whenAsked;
    t.true((await cachedIn(snapshot)) >= LEAST);
    t.deepEqual([...first.warnings, ...second.warnings], []);
    await guests.testGuest(second).assertAlive();
  }
  {
    await using pool = await guests.pool(snapshot, { size: 1, workingSet: 'off' });
    await using guest = await pool.take();
    t.is(guest.workingSet, undefined);
  }
  await t.throwsAsync(guests.pool(snapshot, { size: 1, workingSet: { path: dir.file('none') } }), {
    code: 'ERR_MAPPED_RAM_IO',
  });
  await writeFile(`${snapshot}.working-set`, '{}');
  await using pool = await guests.pool(snapshot, { size: 1 });
  await using guest = await pool.take();
  t.true(guest.warnings.some((words) => words.includes('no working set was read ahead')));
  await rm(`${snapshot}.working-set`);
});
