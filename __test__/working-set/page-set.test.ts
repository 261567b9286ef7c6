import { deflateRawSync } from 'node:zlib';

import test from 'ava';
import * as fc from 'fast-check';

import { PageSet } from '../../ts/working-set/page-set.ts';

/** Pages of a block, around the borders of bytes. */
const pages = fc.integer({ min: 1, max: 70 });
const pageSize = fc.constantFrom(4096, 65_536);

function areaOf(count: number, size: number): Parameters<typeof PageSet.none>[0] {
  return { pagesOffset: 2 ** 20, bitmapOffset: 4096, length: count * size, pageSize: size };
}

/** The pages of a set, one by one. */
function pagesOf(set: PageSet, size: number): readonly number[] {
  return [...set.stretches()].flatMap(({ offset, length }) =>
    Array.from({ length: length / size }, (_, index) => offset / size + index),
  );
}

test('a set has the pages that its stretches touch, also when it was written and read', (t) => {
  const stretch = fc.record({
    offset: fc.nat({ max: 71 * 65_536 }),
    length: fc.integer({ min: 1, max: 2 ** 19 }),
  });
  fc.assert(
    fc.property(pages, pageSize, fc.array(stretch, { maxLength: 8 }), (count, size, stretches) => {
      const area = areaOf(count, size);
      const set = PageSet.none(area);
      const touched = new Set<number>();
      for (const part of stretches) {
        set.add(part);
        // The oracle asks each page whether any byte of it is in the stretch.
        for (let page = 0; page < count; page += 1) {
          const [start, end] = [page * size, (page + 1) * size];
          if (part.offset < end && part.offset + part.length > start) touched.add(page);
        }
      }
      const wanted = [...touched].toSorted((left, right) => left - right);
      t.deepEqual(pagesOf(set, size), wanted);
      t.deepEqual(pagesOf(PageSet.fromText(area, set.toText()), size), wanted);
      const runs = [...set.stretches()];
      for (const [index, { offset }] of runs.entries()) {
        const before = runs[index - 1];
        if (before !== undefined)
          t.true(before.offset + before.length < offset, 'neighbours are one stretch');
      }
    }),
    { numRuns: 300 },
  );
});

test('bits behind the last page are no pages', (t) => {
  const set = PageSet.fromText(areaOf(3, 4096), deflateRawSync(Buffer.of(0xff)).toString('base64'));
  t.deepEqual([...set.stretches()], [{ offset: 0, length: 3 * 4096 }]);
});

test('bits of another block, and bytes that are none, are refused', (t) => {
  const area = areaOf(64, 4096);
  const texts: readonly string[] = [
    '',
    'AAAA',
    '!!!!',
    PageSet.none(areaOf(65, 4096)).toText(),
    PageSet.none(areaOf(1, 4096)).toText(),
    // A GiB of zeros is a MiB deflated: it must not become a GiB here.
    deflateRawSync(Buffer.alloc(2 ** 26)).toString('base64'),
  ];
  for (const text of texts) t.throws(() => PageSet.fromText(area, text), undefined, text.slice(0, 20));
});
