import test from 'ava';
import * as fc from 'fast-check';

import {
  allRuns,
  type ByteRuns,
  bytesInRuns,
  complementOf,
  rangesOf,
  withoutRuns,
} from '../../ts/pages/byte-runs.ts';

const PAGES = 40;

/** Runs as the engine gives them: ascending, adjacent ones joined. */
function runsOf(pages: readonly boolean[], pageSize: number): ByteRuns {
  const runs: number[] = [];
  pages.forEach((isIn, page) => {
    if (!isIn) return;
    const [start, end] = [page * pageSize, (runs.at(-2) ?? 0) + (runs.at(-1) ?? -1)];
    if (end === start) runs[runs.length - 1] = (runs.at(-1) ?? 0) + pageSize;
    else runs.push(start, pageSize);
  });
  return Float64Array.from(runs);
}

/** Runs of the same pages, cut into pieces that touch. */
function cut(runs: ByteRuns, pageSize: number): ByteRuns {
  return Float64Array.from(
    [...rangesOf(runs)].flatMap(({ start, end }) =>
      Array.from({ length: (end - start) / pageSize }, (_, page) => [
        start + page * pageSize,
        pageSize,
      ]).flat(),
    ),
  );
}

/** The pages that are in runs, each counted as often as it is there. */
function countsOf(runs: ByteRuns, pageSize: number): readonly number[] {
  const counts = Array.from({ length: PAGES }, () => 0);
  for (const { start, end } of rangesOf(runs)) {
    for (let page = start / pageSize; page < end / pageSize; page += 1)
      counts[page] = (counts[page] ?? 0) + 1;
  }
  return counts;
}

const sets = fc.array(fc.boolean(), { minLength: PAGES, maxLength: PAGES });
const pageSizes = fc.constantFrom(1, 4096, 65_536, 2 ** 40);

test('runs without others are what is left page by page', (t) => {
  fc.assert(
    fc.property(sets, sets, pageSizes, fc.boolean(), fc.boolean(), (one, other, size, cutOne, cutOther) => {
      const [joined, others] = [runsOf(one, size), runsOf(other, size)];
      const left = withoutRuns(cutOne ? cut(joined, size) : joined, cutOther ? cut(others, size) : others);
      t.deepEqual(
        countsOf(left, size),
        one.map((isIn, page) => Number(isIn && other[page] !== true)),
      );
      if (!cutOne && !cutOther)
        t.deepEqual(
          left,
          runsOf(
            one.map((isIn, page) => isIn && other[page] !== true),
            size,
          ),
        );
      const ranges = [...rangesOf(left)];
      t.true(ranges.every(({ start, end }, index) => end > start && start >= (ranges[index - 1]?.end ?? 0)));
    }),
    { numRuns: 2000 },
  );
});

test('runs of two sets are those of either, each page once', (t) => {
  fc.assert(
    fc.property(sets, sets, pageSizes, (one, other, size) => {
      const all = allRuns(runsOf(one, size), runsOf(other, size), PAGES * size);
      const either = one.map((isIn, page) => isIn || other[page] === true);
      t.deepEqual(all, runsOf(either, size));
    }),
    { numRuns: 1000 },
  );
});

test('runs and their complement are the block, each page once', (t) => {
  fc.assert(
    fc.property(sets, pageSizes, (pages, size) => {
      const runs = runsOf(pages, size);
      const rest = complementOf(runs, PAGES * size);
      t.deepEqual(
        rest,
        runsOf(
          pages.map((isIn) => !isIn),
          size,
        ),
      );
      t.is(bytesInRuns(runs) + bytesInRuns(rest), PAGES * size);
      t.is(bytesInRuns(runs), pages.filter(Boolean).length * size);
      t.deepEqual(complementOf(rest, PAGES * size), runs);
    }),
    { numRuns: 1000 },
  );
});
