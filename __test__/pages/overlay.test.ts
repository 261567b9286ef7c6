import { open } from 'node:fs/promises';

import test from 'ava';
import * as fc from 'fast-check';

import { FileReader } from '../../ts/io/file-reader.ts';
import { OverlaySource } from '../../ts/pages/overlay/overlay-source.ts';
import { bitmapBytes, type PageArea } from '../../ts/stream/page-area.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PAGE = 4096;

/** A file with one block, all of whose bytes are noise: whatever is read has to come from the right place. */
interface Noise {
  readonly area: PageArea;
  readonly bytes: Buffer;
}

function noise(pages: number, seed: number, bitmapOffset: number, pagesOffset: number): Noise {
  const length = pages * PAGE;
  const area = { pagesOffset, bitmapOffset, length, pageSize: PAGE };
  const bytes = Buffer.alloc(pagesOffset + length + 123);
  let state = seed + 1;
  for (let at = 0; at < bytes.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return { area, bytes };
}

/** The delta and its base as one file, byte by byte. */
function naive(delta: Noise, base: Noise): Buffer {
  const bytes = Buffer.from(delta.bytes);
  for (let at = 0; at < bitmapBytes(delta.area); at += 1) {
    const place = delta.area.bitmapOffset + at;
    bytes[place] = (bytes[place] ?? 0) | (base.bytes[base.area.bitmapOffset + at] ?? 0);
  }
  for (let page = 0; page < delta.area.length / PAGE; page += 1) {
    const bits = delta.bytes[delta.area.bitmapOffset + (page >> 3)] ?? 0;
    if ((bits & (1 << (page % 8))) !== 0) continue;
    const from = base.area.pagesOffset + page * PAGE;
    base.bytes.copy(bytes, delta.area.pagesOffset + page * PAGE, from, from + PAGE);
  }
  return bytes;
}

test('a delta over its base reads as a naive merge of both, wherever a read begins and ends', async (t) => {
  await using dir = await temporaryDirectory();
  const fraction = fc.double({ min: 0, max: 1, noNaN: true });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 90 }),
      fc.nat(1e6),
      fc.boolean(),
      fc.array(fc.tuple(fraction, fraction), { minLength: 1, maxLength: 10 }),
      async (pages, seed, bitmapsInFront, ranges) => {
        // The two files have their parts in different places.
        const delta = noise(pages, seed, bitmapsInFront ? 40 : 0, 3 * PAGE);
        const base = noise(pages, seed + 1, 77, 5 * PAGE);
        for (const [name, { bytes }] of Object.entries({ delta, base })) {
          await using handle = await open(dir.file(name), 'w');
          await handle.write(bytes);
        }
        const readers = [
          await FileReader.open(dir.file('delta')),
          await FileReader.open(dir.file('base')),
        ] as const;
        const blocks = [{ delta: delta.area, base: base.area }];
        await using source = new OverlaySource({ delta: readers[0], base: readers[1], blocks });
        const whole = naive(delta, base);
        t.is(source.size, whole.length);
        t.is(Buffer.compare(await source.read(0, whole.length), whole), 0);
        for (const [left, right] of ranges) {
          const start = Math.floor(Math.min(left, right) * whole.length);
          const end = Math.floor(Math.max(left, right) * whole.length);
          t.is(Buffer.compare(await source.read(start, end - start), whole.subarray(start, end)), 0);
        }
        await t.throwsAsync(source.read(whole.length - 1, 2), { code: 'ERR_MAPPED_RAM_TRUNCATED' });
      },
    ),
    { numRuns: 40 },
  );
});
