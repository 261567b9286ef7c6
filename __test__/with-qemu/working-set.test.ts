import { readFile, rm, stat, writeFile } from 'node:fs/promises';

import test from 'ava';

import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { recordWorkingSet, Snapshot } from '../../ts/index.ts';
import { MODE_NAMES, modeOf } from '../../ts/restore/modes/modes.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { MIB } from '../support/qemu.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const REGION = { start: 16 * MIB, length: 24 * MIB };
/** Some pages of the region are zero, and so not in the snapshot. */
const LEAST = 0.7 * REGION.length;

let dir: TemporaryDirectory;
let snapshot = '';

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = dir.file('guest.snapshot');
  if (QEMU_MISSING === undefined) await saveGuest({ region: REGION }, snapshot);
});

test.after.always(() => dir[Symbol.asyncDispose]());

qemuTest(
  'what a guest touches is recorded, read ahead by the next restore, and its memory is right',
  async (t) => {
    const path = `${snapshot}.working-set`;
    {
      await dropPageCache(snapshot);
      await using guest = await restoreGuest(snapshot, { region: REGION }, {});
      t.is(guest.restored.workingSet, undefined);
      await guest.waitForGenerations(2);
      const recorded = await recordWorkingSet(guest.qmp, snapshot);
      t.is(recorded.path, path);
      t.true(recorded.bytes >= LEAST, `${recorded.bytes}`);
      t.log(`${recorded.bytes} bytes in ${(await stat(path)).size} bytes`);
    }
    await dropPageCache(snapshot);
    await using opened = await Snapshot.open(snapshot);
    const [block] = opened.completeRam(true).blocks;
    const region = { offset: (block?.area.pagesOffset ?? 0) + REGION.start, length: REGION.length };
    t.is(pageCacheState(snapshot, region)?.cachedBytes, 0);
    {
      await using guest = await restoreGuest(snapshot, { region: REGION }, { after: 'stop' });
      const { workingSet } = guest.restored;
      t.is(workingSet?.path, path);
      t.true((workingSet?.bytes ?? 0) >= LEAST);
      t.true((workingSet?.cachedShare ?? 1) < 0.2);
      await workingSet?.whenAsked;
      // The guest has not run: its pages are there because they were read ahead.
      t.true((pageCacheState(snapshot, region)?.cachedBytes ?? 0) > LEAST);
      await guest.cont();
      await guest.waitForGenerations(2);
    }
    {
      await using guest = await restoreGuest(snapshot, { region: REGION }, {});
      t.is(guest.restored.workingSet?.bytes, 0, 'there is nothing to gain');
      await guest.waitForGenerations(1);
    }
    for (const mode of MODE_NAMES.filter((name) => !modeOf(name).options.includes('workingSet'))) {
      await t.throwsAsync(restoreGuest(snapshot, { region: REGION }, { mode, workingSet: { path } }), {
        code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        message: /workingSet/,
      });
    }
    await t.throwsAsync(restoreGuest(snapshot, {}, { workingSet: { path: dir.file('none') } }), {
      code: 'ERR_MAPPED_RAM_IO',
    });
    const text = await readFile(path, 'utf8');
    for (const [wrong, code] of [
      [text.replace(/"snapshot":"[0-9a-f]{4}/, '"snapshot":"xxxx'), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
      [text.replace(/"length":\d+/, '"length":4096'), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
      [text.replace(/"pages":"..../, '"pages":"AAAA'), 'ERR_MAPPED_RAM_CORRUPT'],
      [text.slice(0, -20), 'ERR_MAPPED_RAM_CORRUPT'],
      ['{}', 'ERR_MAPPED_RAM_CORRUPT'],
    ] as const) {
      await writeFile(dir.file('wrong'), wrong);
      await t.throwsAsync(
        restoreGuest(snapshot, {}, { workingSet: { path: dir.file('wrong') } }),
        { code },
        wrong.slice(0, 60),
      );
    }
    // One that nobody asked for is only a help: without it the restore works, and says so.
    await writeFile(path, '{}');
    await using guest = await restoreGuest(snapshot, { region: REGION }, {});
    t.true(guest.restored.warnings.some((words) => words.includes('no working set was read ahead')));
    await rm(path);
  },
);

qemuTest('a guest that maps no block of the snapshot has no working set of it', async (t) => {
  await using guest = await restoreGuest(snapshot, { region: REGION }, { mode: 'eager' });
  await t.throwsAsync(recordWorkingSet(guest.qmp, snapshot), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /maps no block of the snapshot/,
  });
});
