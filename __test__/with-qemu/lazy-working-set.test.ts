import assert from 'node:assert/strict';
import { rm, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { type LazyProgress, recordWorkingSet, save, Snapshot } from '../../ts/index.ts';
import type { RestoreOptions } from '../../ts/restore/restore.ts';
import { assertMemory, PAGE, poke, scattered } from '../save/captured-guest.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, type RestoredTestGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const dir = await temporaryDirectory();
test.after.always(() => dir[Symbol.asyncDispose]());

const REGION = { start: 64 * MIB, length: 8 * MIB };
const SETUP: GuestSetup = { memoryMiB: 128, region: REGION };
/** Memory before the guest's, at which it never looks: it comes first in the order of the file. */
const BEFORE = { start: 20 * MIB, length: 36 * MIB };
const snapshot = dir.file('guest.mr');
const delta = dir.file('delta.mr');
const record = `${snapshot}.working-set`;

test.before(async () => {
  if (QEMU_MISSING !== undefined) return;
  {
    await using guest = await startGuest(SETUP);
    await guest.waitForGenerations(2);
    await guest.stop();
    await poke(guest, scattered(BEFORE.start, BEFORE.length, 1, 1));
    await save(guest.qmp, snapshot, { writer: 'engine' });
  }
  await using clone = await restoreGuest(snapshot, SETUP, {});
  await clone.waitForGenerations(1);
  await save(clone.qmp, delta, { base: 'auto', form: 'delta' });
});

test.afterEach.always(() => rm(record, { force: true }));

function restoreLazily(
  path: string,
  options: Omit<RestoreOptions, 'binary' | 'args' | 'mode'>,
): Promise<RestoredTestGuest> {
  return restoreGuest(path, SETUP, { ...options, mode: 'lazy' });
}

/** How many pages a guest asks for that begins to run when a good part of its memory is there, but not half of it. */
async function askedFor(path: string, workingSet: 'auto' | 'off'): Promise<number> {
  const postcopy = { maxBandwidth: 8 * MIB };
  await using guest = await restoreLazily(path, { postcopy, workingSet, after: 'stop' });
  assert.equal(guest.restored.workingSet?.path, workingSet === 'off' ? undefined : record);
  await guest.restored.workingSet?.whenAsked;
  const { memory } = guest.restored;
  const progress = (): LazyProgress => memory?.progress() ?? assert.fail('no memory on its way');
  while (progress().arrivedBytes < 16 * MIB) await delay(20);
  const before = progress().requests;
  await guest.cont();
  await guest.waitForGenerations(2);
  // The server tells its progress now and then.
  await delay(200);
  const asked = progress().requests - before;
  await guest.restored.memoryComplete;
  await guest.assertAlive();
  return asked;
}

for (const path of [snapshot, delta]) {
  const what = path === delta ? 'a delta' : 'a snapshot';
  qemuTest(`what a guest touches comes before all other pages: ${what}`, async (t) => {
    {
      await using guest = await restoreLazily(path, { postcopy: { push: 'off' } });
      await guest.waitForGenerations(2);
      const recorded = await recordWorkingSet(guest.qmp, path);
      t.is(recorded.path, record);
      // What it touches is a small part of what there is.
      t.true(recorded.bytes >= 0.7 * REGION.length, `${recorded.bytes}`);
      t.true(recorded.bytes <= 16 * MIB, `${recorded.bytes}`);
      t.true((await stat(record)).size < 64 * 1024);
    }
    await dropPageCache(snapshot);
    const pages = REGION.length / PAGE;
    const asked = await askedFor(path, 'auto');
    // An eighth of its pages are zero, and so come only when they are asked for.
    t.true(asked < pages / 8 + 64, `${asked} of ${pages}`);
    const without = await askedFor(path, 'off');
    t.true(without > pages / 2, `${without} of ${pages}`);
  });
}

qemuTest('a working set is not needed, can be left out, and one that does not fit is none', async (t) => {
  {
    await using guest = await restoreLazily(snapshot, { postcopy: { push: 'off' } });
    await guest.waitForGenerations(1);
    await recordWorkingSet(guest.qmp, snapshot);
  }
  await using off = await restoreLazily(snapshot, { workingSet: 'off', after: 'stop' });
  t.is(off.restored.workingSet, undefined);
  await off.restored.memoryComplete;
  await assertMemory(t, off, snapshot, 'off');
  // Read past the page cache, it is none that is read ahead.
  await dropPageCache(snapshot);
  await using direct = await restoreLazily(snapshot, { directIo: 'on', after: 'stop' });
  t.is(direct.restored.workingSet, undefined);
  await direct.restored.memoryComplete;
  await using opened = await Snapshot.open(snapshot);
  const [block] = opened.completeRam().blocks;
  const place = { offset: (block?.area.pagesOffset ?? 0) + BEFORE.start, length: BEFORE.length };
  t.is(pageCacheState(snapshot, place)?.cachedBytes, 0);
  await assertMemory(t, direct, snapshot, 'direct');
});

qemuTest('pages that were pushed are not what a guest has touched', async (t) => {
  await using guest = await restoreLazily(snapshot, { postcopy: { maxBandwidth: MIB } });
  await t.throwsAsync(recordWorkingSet(guest.qmp, snapshot), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /push 'off'/,
  });
  await guest.assertAlive();
});
