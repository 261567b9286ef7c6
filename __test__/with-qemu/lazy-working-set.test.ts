import { rm, stat } from 'node:fs/promises';

import test from 'ava';

import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { recordWorkingSet, save, Snapshot } from '../../ts/index.ts';
import type { RestoreOptions } from '../../ts/restore/restore.ts';
import { assertMemory, FREE, poke, scattered, SETUP } from '../save/captured-guest.ts';
import { MIB, startGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, type RestoredTestGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const dir = await temporaryDirectory();
test.after.always(() => dir[Symbol.asyncDispose]());

const snapshot = dir.file('guest.mr');
const delta = dir.file('delta.mr');
const record = `${snapshot}.working-set`;

test.before(async () => {
  if (QEMU_MISSING !== undefined) return;
  {
    await using guest = await startGuest(SETUP);
    await guest.waitForGenerations(2);
    await guest.stop();
    // The guest never looks at these.
    await poke(guest, scattered(FREE.start, FREE.length, 1, 1));
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

for (const path of [snapshot, delta]) {
  const what = path === delta ? 'a delta' : 'a snapshot';
  qemuTest(`what a guest touches comes before all other pages: ${what}`, async (t) => {
    {
      await using guest = await restoreLazily(path, { postcopy: { push: 'off' } });
      await guest.waitForGenerations(2);
      const recorded = await recordWorkingSet(guest.qmp, path);
      t.is(recorded.path, record);
      // What it touches is a small part of what there is.
      t.true(recorded.bytes >= 0.7 * (SETUP.region?.length ?? 0), `${recorded.bytes}`);
      t.true(recorded.bytes <= 16 * MIB, `${recorded.bytes}`);
      t.true((await stat(record)).size < 64 * 1024);
    }
    await dropPageCache(snapshot);
    // The working set takes a quarter of the time that this is watched for, at this pace.
    const maxBandwidth = 8 * MIB;
    await using guest = await restoreLazily(path, { postcopy: { maxBandwidth }, after: 'stop' });
    const { workingSet } = guest.restored;
    t.is(workingSet?.path, record);
    await workingSet?.whenAsked;
    const arrived = (): number => guest.restored.memory?.progress().arrivedBytes ?? 0;
    while (arrived() < 16 * MIB) await new Promise((resolve) => setTimeout(resolve, 20));
    const before = guest.restored.memory?.progress();
    t.false(before?.complete);
    await guest.cont();
    await guest.waitForGenerations(2);
    const after = guest.restored.memory?.progress();
    // Hardly anything that it touches is missing, although half of the memory is.
    t.true((after?.requests ?? 0) - (before?.requests ?? 0) < 64, `${after?.requests} ${before?.requests}`);
    await guest.restored.memoryComplete;
    await guest.assertAlive();
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
  const place = { offset: (block?.area.pagesOffset ?? 0) + FREE.start, length: FREE.length };
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
