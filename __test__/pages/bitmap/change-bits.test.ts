import { open, readFile, writeFile } from 'node:fs/promises';

import test from 'ava';
import * as fc from 'fast-check';

import { changeBits } from '../../../ts/pages/bitmap/change-bits.ts';
import { createOutput } from '../../../ts/snapshot/snapshot-target.ts';
import { bitmapBytes, type PageArea, pagesIn } from '../../../ts/stream/page-area.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const GUARD = 24;

interface Case {
  readonly pages: number;
  readonly pageSize: number;
  /** Distance from the end of the last run, and pages of the run. */
  readonly runs: readonly (readonly [gap: number, count: number])[];
  readonly isSet: boolean;
  /** A byte that the bitmap is full of before. */
  readonly fill: number;
}

// A bitmap is changed in pieces of 64 KiB, which are 524 288 pages.
const cases: fc.Arbitrary<Case> = fc.record({
  pages: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 524_200, max: 1_200_000 })),
  pageSize: fc.constantFrom(4096, 65_536),
  runs: fc.array(
    fc.tuple(
      fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 600_000 })),
      fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 530_000 })),
    ),
    { maxLength: 8 },
  ),
  isSet: fc.boolean(),
  fill: fc.constantFrom(0, 0xff, 0xa5),
});

/** The first page of each run and the one behind its last, cut at the block's end. */
function placed({ pages, runs }: Case): readonly (readonly [start: number, end: number])[] {
  const list: (readonly [number, number])[] = [];
  let at = 0;
  for (const [gap, count] of runs) {
    const start = at + gap;
    const end = Math.min(start + count, pages);
    if (end > start) list.push([start, end]);
    at = start + count;
  }
  return list;
}

test('bits of runs change, and no others', async (t) => {
  await using dir = await temporaryDirectory('/dev/shm');
  const path = dir.file('bitmap');
  await fc.assert(
    fc.asyncProperty(cases, async (given) => {
      const { pages, pageSize, isSet, fill } = given;
      const area: PageArea = {
        bitmapOffset: GUARD,
        pagesOffset: 2 ** 30,
        length: pages * pageSize,
        pageSize,
      };
      const size = bitmapBytes(area);
      await writeFile(path, Buffer.alloc(GUARD + size + GUARD, fill));
      const list = placed(given);
      {
        await using handle = await open(path, 'r+');
        await using output = await createOutput({ fd: handle.fd, directFd: undefined, offset: 0 });
        const runs = list.flatMap(([start, end]) => [start * pageSize, (end - start) * pageSize]);
        await changeBits(output, area, Float64Array.from(runs), isSet);
      }
      const expected = Buffer.alloc(GUARD + size + GUARD, fill);
      for (const [start, end] of list) {
        for (let page = start; page < end; page += 1) {
          const at = GUARD + Math.floor(page / 8);
          const bit = 2 ** (page % 8);
          const byte = expected[at] ?? 0;
          const wasSet = Math.floor(byte / bit) % 2 === 1;
          if (wasSet !== isSet) expected[at] = byte + (isSet ? bit : -bit);
        }
      }
      t.is(pagesIn(area), pages);
      t.is(Buffer.compare(await readFile(path), expected), 0, JSON.stringify(given));
    }),
    { numRuns: 150 },
  );
});
