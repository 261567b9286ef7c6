import test from 'ava';
import * as fc from 'fast-check';

import type { RoundFigures } from '../../ts/bench/figures.ts';
import { standingsOf } from '../../ts/bench/standing.ts';
import { median, spread, summarize } from '../../ts/bench/summary.ts';
import { contenderOf } from './noisy-reports.ts';

const GIB = 2 ** 30;

function round(milliseconds: number, more: Partial<RoundFigures> = {}): RoundFigures {
  return { milliseconds, bytes: 2 * GIB, dataBytes: GIB, ...more };
}

test('a median has as many values below as above, whatever the order', (t) => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 }), (values) => {
      const middle = median(values);
      const below = values.filter((value) => value < middle).length;
      const above = values.filter((value) => value > middle).length;
      t.true(below <= values.length / 2 && above <= values.length / 2);
      t.is(median(values.toReversed()), middle);
    }),
  );
  t.is(median([1, 10, 2, 4]), 3);
  t.throws(() => median([]), { instanceOf: RangeError });
});

test('a summary has medians, extremes, and figures per GiB of guest memory', (t) => {
  const summary = summarize([
    round(1000, { cpuMs: 500, syscalls: 2000, requests: 20, peakBytes: 7, pageCacheBytes: -5 }),
    round(4000, { cpuMs: 900, syscalls: 2002, requests: 20, peakBytes: 9, pageCacheBytes: 5 }),
    round(2000, { cpuMs: 700, syscalls: 2004, requests: 22, peakBytes: 8, pageCacheBytes: 1 }),
  ]);
  const { gigabytesPerSecond, ...others } = summary;
  t.is(gigabytesPerSecond?.toFixed(6), ((2 * GIB) / 2e9).toFixed(6));
  t.deepEqual(others, {
    milliseconds: { median: 2000, min: 1000, max: 4000 },
    cpuSecondsPerGiB: 0.35,
    peakBytes: 8,
    pageCacheBytes: 1,
    syscallsPerGiB: 1001,
    requestsPerGiB: 10,
  });
});

test('a figure that nobody measured is not in a summary, and never zero', (t) => {
  const summary = summarize([round(10), round(20)]);
  t.deepEqual(Object.keys(summary), ['milliseconds', 'gigabytesPerSecond']);
  t.is(summarize([round(10), round(20, { cpuMs: 4000 })]).cpuSecondsPerGiB, 2);
});

test('work that need not move all of the memory has no bytes per second', (t) => {
  t.deepEqual(Object.keys(summarize([round(10)], false)), ['milliseconds']);
});

test('moments have spreads of their own', (t) => {
  const summary = summarize([
    round(10, { moments: { running: 10, workingSet: 30 } }),
    round(20, { moments: { running: 20 } }),
  ]);
  t.deepEqual(summary.moments, { running: spread([10, 20]), workingSet: spread([30]) });
});

test('a standing takes the best of each program, and the rounds as pairs', (t) => {
  const contenders = [
    contenderOf('mapped-ram', 'mapped-ram', [100, 200, 100]),
    contenderOf('mapped-ram threads', 'mapped-ram', [1, 1, 1]),
    contenderOf('fio', 'fio', [50, 200, 200]),
    contenderOf('QEMU × 2', 'qemu', [900, 900, 900]),
    contenderOf('QEMU × 4', 'qemu', [150, 300, 150]),
  ];
  t.deepEqual(standingsOf({ size: GIB, work: 'save', memory: 'random', file: 'cold', contenders }), [
    { name: 'mapped-ram', program: 'fio', reference: 'fio', ratio: 1 },
    { name: 'mapped-ram', program: 'qemu', reference: 'QEMU × 4', ratio: 1.5 },
  ]);
  t.deepEqual(standingsOf({ size: GIB, work: 'save', memory: 'random', file: 'cold', contenders: [] }), []);
});
