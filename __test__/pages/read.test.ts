import { open, stat, truncate, writeFile } from 'node:fs/promises';

import test from 'ava';
import * as fc from 'fast-check';

import { MappedRamError, Snapshot, type PageRun } from '../../ts/index.ts';
import { RAM_SECTION_ID } from '../../ts/stream/constants.ts';
import { encodeEof, encodeSectionContinuation } from '../../ts/stream/section.ts';
import { encodeMappedRamStart, encodeRamEos } from '../../ts/stream/write/encode-ram.ts';
import { PAGE, syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { contentOf, generatedBlock, naiveMemory, writeGenerated } from './generated-snapshot.ts';

async function collect(runs: AsyncIterable<PageRun>): Promise<readonly PageRun[]> {
  const all: PageRun[] = [];
  for await (const run of runs) all.push(run);
  return all;
}

test('read gives what a naive loop over pages gives, stale bytes or not', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const range = fc.tuple(
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }),
  );
  const blocks = fc.tuple(generatedBlock('a', 200), generatedBlock('b', 70));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0, 5 * PAGE),
      blocks,
      fc.array(range, { minLength: 1, maxLength: 8 }),
      async (base, generated, ranges) => {
        await writeGenerated(path, { base, blocks: generated });
        await using snapshot = await Snapshot.open(`file:${path},offset=${base}`);
        for (const block of generated) {
          const memory = naiveMemory(block);
          const whole = await snapshot.read(block.id, 0, memory.length);
          t.is(Buffer.compare(whole, memory), 0);
          for (const [left, right] of ranges) {
            const start = Math.floor(Math.min(left, right) * memory.length);
            const end = Math.floor(Math.max(left, right) * memory.length);
            const bytes = await snapshot.read(block.id, start, end - start);
            t.is(Buffer.compare(bytes, memory.subarray(start, end)), 0, `${block.id} ${start} ${end}`);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('pages gives runs that follow each other, differ, and say where set pages lie', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  await fc.assert(
    fc.asyncProperty(generatedBlock('a', 300), async (block) => {
      await writeGenerated(path, { blocks: [block] });
      await using snapshot = await Snapshot.open(path);
      await using handle = await open(path);
      const memory = naiveMemory(block);
      let position = 0;
      let before: boolean | undefined;
      for (const { offset, length, fileOffset } of await collect(snapshot.pages('a'))) {
        t.is(offset, position);
        t.true(length > 0 && length % PAGE === 0);
        t.not(fileOffset !== undefined, before);
        before = fileOffset !== undefined;
        position += length;
        for (let page = offset / PAGE; page < position / PAGE; page += 1) {
          t.is(block.set.includes(page), before, `page ${page}`);
        }
        if (fileOffset === undefined) continue;
        const { buffer } = await handle.read(Buffer.alloc(length), 0, length, fileOffset);
        t.is(Buffer.compare(buffer, memory.subarray(offset, position)), 0);
      }
      t.is(position, memory.length);
    }),
    { numRuns: 60 },
  );
});

test('a run goes on across the pieces that bitmaps are read in', async (t) => {
  await using dir = await temporaryDirectory();
  // A piece has the bits of 131,072 pages.
  const border = 131_072;
  const pages = 3 * border + 5;
  const set = [border - 2, border - 1, border, border + 1, 2 * border, pages - 1];
  await writeGenerated(dir.file('guest.mr'), { blocks: [{ id: 'a', pages, set, stale: [border + 2] }] });
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  const runs = (await collect(snapshot.pages('a'))).map(({ offset, length, fileOffset }) => [
    offset / PAGE,
    length / PAGE,
    fileOffset !== undefined,
  ]);
  t.deepEqual(runs, [
    [0, border - 2, false],
    [border - 2, 4, true],
    [border + 2, border - 2, false],
    [2 * border, 1, true],
    [2 * border + 1, border + 3, false],
    [pages - 1, 1, true],
  ]);
  const bytes = await snapshot.read('a', (border - 1) * PAGE + 7, 4 * PAGE);
  const data = [border - 1, border, border + 1].map((page) => contentOf('a', page));
  const expected = Buffer.concat([...data, Buffer.alloc(2 * PAGE)]);
  t.is(Buffer.compare(bytes, expected.subarray(7, 7 + 4 * PAGE)), 0);
});

test('a block of a terabyte is read in no time and in little memory', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const pages = 2 ** 40 / PAGE;
  // The bitmap alone takes 32 MiB.
  const set = [3, pages - 1];
  const { layout } = await sparse(path, pages, set);
  t.true((await stat(path)).size > 2 ** 40);
  await using snapshot = await Snapshot.open(path);
  const before = process.memoryUsage().rss;
  const last = await snapshot.read('a', 2 ** 40 - 2 * PAGE, 2 * PAGE);
  t.is(Buffer.compare(last, Buffer.concat([Buffer.alloc(PAGE), contentOf('a', pages - 1)])), 0);
  const runs = await collect(snapshot.pages('a'));
  t.deepEqual(
    runs.map(({ offset }) => offset / PAGE),
    [0, 3, 4, pages - 1],
  );
  t.is(runs[1]?.fileOffset, layout + 3 * PAGE);
  const growth = process.memoryUsage().rss - before;
  t.true(growth < 64 * 2 ** 20, `grew by ${growth}`);
});

/** Writes a snapshot bit by bit: `writeGenerated` would go through all bits of the bitmap. */
async function sparse(path: string, pages: number, set: readonly number[]): Promise<{ layout: number }> {
  const { layout, segments, endOffset } = encodeMappedRamStart({
    configuration: { machine: 'pc-q35-10.0', capabilities: ['mapped-ram'] },
    blocks: [{ id: 'a', length: pages * PAGE }],
  });
  const [block] = layout.blocks;
  if (block === undefined) throw new Error('no layout');
  await using handle = await open(path, 'w');
  for (const { offset, bytes } of segments) await handle.write(bytes, 0, bytes.length, offset);
  for (const page of set) {
    await handle.write(Uint8Array.of(1 << (page & 7)), 0, 1, block.area.bitmapOffset + Math.floor(page / 8));
    await handle.write(contentOf('a', page), 0, PAGE, block.area.pagesOffset + page * PAGE);
  }
  const end = Buffer.concat([encodeSectionContinuation('end', RAM_SECTION_ID), encodeRamEos(), encodeEof()]);
  await handle.write(end, 0, end.length, endOffset);
  return { layout: block.area.pagesOffset };
}

test('ranges and blocks that there are not are refused before anything is allocated', async (t) => {
  await using dir = await temporaryDirectory();
  await writeGenerated(dir.file('guest.mr'), { blocks: [{ id: 'a', pages: 4, set: [1], stale: [] }] });
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  const outside = { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' };
  const invalid = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
  await t.throwsAsync(snapshot.read('a', 0, 4 * PAGE + 1), outside);
  await t.throwsAsync(snapshot.read('a', 4 * PAGE + 1, 0), outside);
  await t.throwsAsync(snapshot.read('a', 0, 2 ** 52), outside);
  await t.throwsAsync(snapshot.read('a', 2 ** 53 - 1, 2 ** 53 - 1), outside);
  await t.throwsAsync(snapshot.read('a', -1, 1), invalid);
  await t.throwsAsync(snapshot.read('a', 0, 2n ** 60n), invalid);
  await t.throwsAsync(snapshot.read('a', 0.5, 1), invalid);
  const unknown = await t.throwsAsync(snapshot.read('b', 0, 1), invalid);
  t.like(unknown, { expected: 'one of a', found: 'b' });
  await t.throwsAsync(collect(snapshot.pages('b')), invalid);
  t.is((await snapshot.read('a', 4 * PAGE, 0)).length, 0);
  t.is((await snapshot.read('a', BigInt(PAGE), 8n)).length, 8);
});

test('memory that is not whole, or not mapped, is not read', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  await writeGenerated(path, { blocks: [{ id: 'a', pages: 4, set: [1], stale: [] }] });
  const { size } = await stat(path);
  await truncate(path, size - 20);
  await using cut = await Snapshot.open(path);
  await t.throwsAsync(cut.read('a', 0, 1), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
  await t.throwsAsync(collect(cut.pages('a')), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
  await writeFile(
    dir.file('plain'),
    syntheticState({ ignoreShared: false, blocks: [{ id: 'a', length: PAGE }] }),
  );
  await using plain = await Snapshot.open(dir.file('plain'));
  await t.throwsAsync(plain.read('a', 0, 1), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});

test('a file that shrinks after it was opened gives an error, not bytes', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  await writeGenerated(path, { blocks: [{ id: 'a', pages: 40, set: [39], stale: [] }] });
  await using snapshot = await Snapshot.open(path);
  t.is((await snapshot.read('a', 0, PAGE)).length, PAGE);
  await truncate(path, 3 * PAGE);
  const error = await t.throwsAsync(snapshot.read('a', 39 * PAGE, PAGE), {
    code: 'ERR_MAPPED_RAM_TRUNCATED',
  });
  t.like(error, { path });
});

test('an error of the disk that passes does not stay: the same snapshot reads physical memory afterwards', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const ram = { id: 'pc.ram', pages: 64, set: [0, 3], stale: [] };
  const tables = { id: '/rom@etc/acpi/tables', pages: 1, set: [0], stale: [] };
  await writeGenerated(path, { blocks: [ram, tables] });
  await using snapshot = await Snapshot.open(path);
  const { reader } = snapshot;
  const read = reader.read.bind(reader);
  let passed = false;
  reader.read = async (offset, length) => {
    if (!passed) throw new MappedRamError('ERR_MAPPED_RAM_IO', 'the disk is busy', { path, offset });
    return read(offset, length);
  };
  const failed = [snapshot.readPhysical(0, PAGE), snapshot.readPhysical(0, PAGE)];
  for (const attempt of failed) await t.throwsAsync(attempt, { message: /the disk is busy$/ });
  passed = true;
  const bytes = await snapshot.readPhysical(0, 4 * PAGE);
  t.is(Buffer.compare(bytes, naiveMemory(ram).subarray(0, 4 * PAGE)), 0);
});
