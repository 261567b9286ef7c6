import { rename, writeFile } from 'node:fs/promises';

import test from 'ava';

import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { findWorkingSet } from '../../ts/working-set/find-working-set.ts';
import { mappedSnapshot } from '../../ts/working-set/mapped-snapshot.ts';
import { PageSet } from '../../ts/working-set/page-set.ts';
import { type ReadingAhead, readWorkingSetAhead } from '../../ts/working-set/read-working-set-ahead.ts';
import { workingSetPath, writeWorkingSet } from '../../ts/working-set/working-set-file.ts';
import { syntheticSnapshot } from '../restore/synthetic-snapshot.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { PAGE } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
/** Three times what the reading asks for at once. */
const LENGTH = 96 * MIB;
const BATCH = 32 * MIB;
const NEVER = new AbortController().signal;

let dir: TemporaryDirectory;
let snapshot: Snapshot;

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = await syntheticSnapshot(dir, [{ id: 'pc.ram', pages: LENGTH / PAGE, isData: () => true }]);
});

test.after.always(async () => {
  await snapshot.close();
  await dir[Symbol.asyncDispose]();
});

/** Writes a set beside the snapshot, and drops the snapshot from the page cache. */
async function record(
  stretches: readonly { readonly offset: number; readonly length: number }[],
): Promise<void> {
  const mapped = await mappedSnapshot(snapshot);
  const [block] = mapped.blocks;
  if (block === undefined) throw new Error('no block');
  const set = PageSet.none(block.area);
  for (const stretch of stretches) set.add(stretch);
  await writeWorkingSet(workingSetPath(mapped.file) ?? '', mapped, new Map([[block.id, set]]));
  await dropPageCache(snapshot.path);
}

/** Finds the set, and begins to read it. */
async function ahead(
  of: Snapshot,
  path: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly reading: ReadingAhead | undefined; readonly warnings: readonly string[] }> {
  const { found, warnings } = await findWorkingSet(of, path);
  return { reading: found && (await readWorkingSetAhead(found, signal)), warnings };
}

function cached(offset: number, length: number): number {
  const start = snapshot.completeRam().blocks[0]?.area.pagesOffset ?? Number.NaN;
  return pageCacheState(snapshot.path, { offset: start + offset, length })?.cachedBytes ?? Number.NaN;
}

test.serial('the pages of the set are read, and no others', async (t) => {
  await record([
    { offset: 4 * MIB, length: MIB },
    { offset: 80 * MIB, length: 3 * PAGE },
  ]);
  const { reading, warnings } = await ahead(snapshot, undefined, NEVER);
  t.deepEqual(warnings, []);
  t.is(reading?.bytes, MIB + 3 * PAGE);
  t.is(reading?.cachedShare, 0);
  await reading?.whenAsked;
  t.is(cached(4 * MIB, MIB), MIB);
  t.is(cached(80 * MIB, 3 * PAGE), 3 * PAGE);
  t.is(cached(8 * MIB, 64 * MIB), 0);
  t.is(cached(84 * MIB, 12 * MIB), 0);
  const again = await ahead(snapshot, undefined, NEVER);
  t.is(again.reading?.bytes, 0, 'there is nothing to gain');
  t.is(again.reading?.cachedShare, 1);
});

test.serial('pages that lie close together are read in one piece', async (t) => {
  const stretches = Array.from({ length: 100 }, (_, index) => ({ offset: index * 8 * PAGE, length: PAGE }));
  await record(stretches);
  const { reading } = await ahead(snapshot, undefined, NEVER);
  t.is(reading?.bytes, (99 * 8 + 1) * PAGE);
  await reading?.whenAsked;
  t.is(cached(0, 99 * 8 * PAGE), 99 * 8 * PAGE);
});

test.serial('an abort ends the reading between two parts of it, and leaves no descriptor', async (t) => {
  await record([{ offset: 0, length: LENGTH }]);
  await assertNoLeak(
    t,
    async () => (await ahead(snapshot, undefined, AbortSignal.abort())).reading?.whenAsked,
    async () => {
      t.is(cached(0, LENGTH), 0, 'a reading that is over before it begins reads nothing');
      const stop = new AbortController();
      const { reading } = await ahead(snapshot, undefined, stop.signal);
      stop.abort();
      await reading?.whenAsked;
      t.is(reading?.bytes, LENGTH);
      t.is(cached(BATCH, LENGTH - BATCH), 0);
    },
  );
  const { reading } = await ahead(snapshot, undefined, NEVER);
  await reading?.whenAsked;
  t.is(cached(0, LENGTH), LENGTH);
});

test.serial(
  'a set that does not fit is a warning when nobody named it, and an error when somebody did',
  async (t) => {
    const path = dir.file('wrong');
    await writeFile(path, '{}');
    await t.throwsAsync(ahead(snapshot, path, NEVER), { code: 'ERR_MAPPED_RAM_CORRUPT' });
    await t.throwsAsync(ahead(snapshot, dir.file('none'), NEVER), {
      code: 'ERR_MAPPED_RAM_IO',
    });
    await writeFile(`${snapshot.path}.working-set`, '{}');
    const { reading, warnings } = await ahead(snapshot, undefined, NEVER);
    t.is(reading, undefined);
    t.is(warnings.length, 1);
    t.regex(warnings[0] ?? '', /^no working set was read ahead: .*: the file is no working set/);
  },
);

test.serial('a snapshot that was replaced under its name is read where it is open', async (t) => {
  await record([{ offset: 0, length: MIB }]);
  const path = `${snapshot.path}.working-set`;
  await using held = await Snapshot.open(snapshot.path);
  await writeFile(`${snapshot.path}.new`, 'another file');
  await rename(snapshot.path, dir.file('moved'));
  try {
    await rename(`${snapshot.path}.new`, snapshot.path);
    const { reading } = await ahead(held, path, NEVER);
    await reading?.whenAsked;
    t.is(reading?.bytes, MIB);
    const start = held.completeRam().blocks[0]?.area.pagesOffset ?? Number.NaN;
    t.is(pageCacheState(dir.file('moved'), { offset: start, length: MIB })?.cachedBytes, MIB);
  } finally {
    await rename(dir.file('moved'), snapshot.path);
  }
});
