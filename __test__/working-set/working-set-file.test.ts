import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { deflateRawSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../ts/errors.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { mappedSnapshot, type MappedSnapshot } from '../../ts/working-set/mapped-snapshot.ts';
import { PageSet } from '../../ts/working-set/page-set.ts';
import { readWorkingSet, type WorkingSet, writeWorkingSet } from '../../ts/working-set/working-set-file.ts';
import { syntheticSnapshot } from '../restore/synthetic-snapshot.ts';
import { PAGE, syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory, TemporaryDirectory } from '../support/temporary.ts';

const BLOCKS = [
  { id: 'pc.ram', pages: 600 },
  { id: 'm1', pages: 9 },
];
/** The codes of a file that is no working set, and of one that belongs to another snapshot. */
const CODES: ReadonlySet<string> = new Set(['ERR_MAPPED_RAM_CORRUPT', 'ERR_MAPPED_RAM_INVALID_ARGUMENT']);

let dir: TemporaryDirectory;
let opened: Snapshot;
let snapshot: MappedSnapshot;

test.before(async () => {
  dir = await temporaryDirectory();
  opened = await syntheticSnapshot(dir, BLOCKS);
  snapshot = await mappedSnapshot(opened);
});

test.after.always(async () => {
  await opened.close();
  await dir[Symbol.asyncDispose]();
});

function setOf(...numbers: readonly number[]): WorkingSet {
  const [block] = snapshot.blocks;
  if (block === undefined) throw new Error('no block');
  const set = PageSet.none(block.area);
  for (const page of numbers) set.add({ offset: page * PAGE, length: PAGE });
  return new Map([[block.id, set]]);
}

function stretchesOf(set: WorkingSet): unknown {
  return [...set].map(([id, pages]) => [id, [...pages.stretches()]]);
}

async function refuses(t: ExecutionContext, path: string, code: string, message?: RegExp): Promise<void> {
  await t.throwsAsync(readWorkingSet(path, snapshot), { code, ...(message && { message }) }, path);
}

test('a set is read as it was written, replaces an older one, and leaves nothing beside it', async (t) => {
  const place = new TemporaryDirectory(dir.file('place'));
  await mkdir(place.path);
  const path = place.file('set');
  for (const numbers of [[1, 2, 599], [7], []]) {
    const set = setOf(...numbers);
    await writeWorkingSet(path, snapshot, set);
    t.deepEqual(stretchesOf(await readWorkingSet(path, snapshot)), stretchesOf(set));
  }
  t.deepEqual(await readdir(place.path), ['set']);
});

test('a set of another save of the same guest is refused, and the cure is named', async (t) => {
  const path = dir.file('other.set');
  await writeWorkingSet(path, snapshot, setOf(1));
  const place = new TemporaryDirectory(dir.file('later'));
  await mkdir(place.path);
  await using other = await syntheticSnapshot(place, BLOCKS);
  const same = await mappedSnapshot(other);
  t.is(same.identity, snapshot.identity, 'a copy of a snapshot is the same snapshot');
  // The device state of a guest that has run on is another, in a file of the same size.
  const state = syntheticState({ blocks: [] });
  const at = (await readFile(other.path)).lastIndexOf(
    state.subarray(state.indexOf('test-device') + 19).subarray(0, 8),
  );
  t.true(at > 0);
  const bytes = await readFile(other.path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(other.path, bytes);
  await using changed = await Snapshot.open(other.path);
  const later = await mappedSnapshot(changed);
  t.is(changed.reader.size, opened.reader.size);
  await t.throwsAsync(readWorkingSet(path, later), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /another snapshot: it was recorded for another save than .*: record it anew/,
  });
});

test('files that are no regular file, or far too long, are refused without being read', async (t) => {
  const fifo = dir.file('fifo');
  t.is(spawnSync('mkfifo', [fifo]).status, 0);
  for (const path of [fifo, '/dev/zero', '/dev/tty', dir.path]) {
    await t.throwsAsync(readWorkingSet(path, snapshot), { instanceOf: MappedRamError }, path);
  }
  await refuses(t, fifo, 'ERR_MAPPED_RAM_UNSUPPORTED', /expected a regular file/);
  await refuses(t, '/dev/zero', 'ERR_MAPPED_RAM_UNSUPPORTED');
  const huge = dir.file('huge');
  await writeFile(huge, '{');
  await truncate(huge, 2 ** 40);
  await refuses(
    t,
    huge,
    'ERR_MAPPED_RAM_CORRUPT',
    /expected at most \d{4,5} bytes, found 1099511627776 bytes/,
  );
  await refuses(t, dir.file('none'), 'ERR_MAPPED_RAM_IO');
});

test('a block that comes again, or that the snapshot has not, is refused', async (t) => {
  const path = dir.file('blocks');
  await writeWorkingSet(path, snapshot, setOf(3));
  const text = await readFile(path, 'utf8');
  const [, entry = ''] = /"blocks":\[(.*)\]/.exec(text) ?? [];
  const wrongs: readonly (readonly [string, string])[] = [
    [`${entry},${entry}`, 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
    [entry.replace('pc.ram', 'toString'), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
    [entry.replace('"id":"pc.ram"', '"id":5'), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
    [entry.replace(/"length":\d+/, '"length":1e300'), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
    [entry.replace(/"pagesOffset":\d+/, '"pagesOffset":0'), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
    [entry.replace(/"pages":"[^"]*"/, '"pages":{}'), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
    [
      entry.replace(
        /"pages":"[^"]*"/,
        `"pages":"${deflateRawSync(Buffer.alloc(2 ** 22)).toString('base64')}"`,
      ),
      'ERR_MAPPED_RAM_CORRUPT',
    ],
    ['5', 'ERR_MAPPED_RAM_CORRUPT'],
    ['null', 'ERR_MAPPED_RAM_CORRUPT'],
  ];
  for (const [blocks, code] of wrongs) {
    await writeFile(path, text.replace(entry, blocks));
    await refuses(t, path, code);
  }
});

test('a file whose bytes were changed or cut gives a set of the snapshot, or an error with a code', async (t) => {
  const path = dir.file('mutant');
  await writeWorkingSet(path, snapshot, setOf(...Array.from({ length: 90 }, (_, index) => index * 5)));
  const good = await readFile(path);
  t.true(good.length === (await stat(path)).size);
  const change = fc.tuple(fc.nat({ max: good.length - 1 }), fc.integer({ min: 0, max: 255 }));
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.option(fc.nat({ max: good.length }), { freq: 3 }),
      async (changes, cut) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        await writeFile(path, bytes.subarray(0, cut ?? bytes.length));
        try {
          for (const [id, pages] of await readWorkingSet(path, snapshot)) {
            const block = BLOCKS.find((candidate) => candidate.id === id);
            for (const { offset, length } of pages.stretches()) {
              t.true(offset + length <= (block?.pages ?? 0) * PAGE);
            }
          }
        } catch (error) {
          if (!(error instanceof MappedRamError) || !CODES.has(error.code)) throw error;
          refused += 1;
        }
      },
    ),
    { numRuns: 400 },
  );
  t.true(refused > 100, `${refused}`);
});
