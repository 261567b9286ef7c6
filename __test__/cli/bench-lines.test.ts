import test from 'ava';

import { benchLines } from '../../ts/cli/render/bench.ts';
import { plain } from '../../ts/cli/render/style.ts';
import type { BenchReport, ContenderResult, SweepBest, SweepPoint } from '../../ts/bench/report.ts';
import { summarize } from '../../ts/bench/summary.ts';
import { contenderOf, reportOf } from '../bench/noisy-reports.ts';

function report(changes: Partial<BenchReport> = {}): BenchReport {
  const own = contenderOf('mapped-ram', 'mapped-ram', [1000, 1100, 1200]);
  const rounds = own.rounds.map(({ milliseconds, bytes, dataBytes }) => {
    return { milliseconds, bytes, dataBytes, cpuMs: 500, moments: { running: 900 } };
  });
  const contenders = [
    { ...own, rounds, summary: summarize(rounds) },
    contenderOf('fio\u001B[2J', 'fio', [1100, 1100, 1200]),
  ];
  return {
    ...reportOf([{ size: 2 ** 31, work: 'load', memory: 'random', file: 'cold', contenders }], 3),
    ...changes,
  };
}

test('a report is a table per kind of work, and a word on how close it comes', (t) => {
  const lines = benchLines(report(), plain);
  const at = lines.indexOf('load, random memory, cold file');
  t.deepEqual(lines.slice(at + 1, at + 4), [
    '              seconds  fastest  slowest  running  GB/s  CPU s/GiB',
    'mapped-ram      1.100    1.000    1.200    0.900  1.95       0.25',
    String.raw`fio\u001b[2J    1.100    1.100    1.200        –  1.95          –`,
  ]);
  t.is(lines[at + 4], String.raw`mapped-ram: 1.00 × fio\u001b[2J (speed, median of the rounds' ratios)`);
});

test('a restore is compared to its working set, with the times of a running guest beside', (t) => {
  const contenders = [
    restored('instant', 'mapped-ram', [900, 1000, 1100], 100),
    restored('QEMU × 4', 'qemu', [1500, 1500, 1600], 1200),
  ];
  const result = { size: 2 ** 31, work: 'restore', memory: 'random', file: 'cold', contenders } as const;
  const lines = benchLines(reportOf([result], 3), plain);
  const at = lines.indexOf('restore, random memory, cold file');
  t.deepEqual(lines.slice(at + 1, at + 7), [
    '          working set  fastest  slowest  running',
    'instant         1.000    0.900    1.100    0.100',
    'QEMU × 4        1.500    1.500    1.600    1.200',
    "instant: 1.50 × QEMU × 4 (speed to the touched working set, median of the rounds' ratios)",
    'instant: the guest runs after 0.100 s; QEMU × 4: after 1.200 s',
  ]);
});

test('several sizes are named, and one is not', (t) => {
  const [one] = report().results;
  if (one === undefined) throw new Error('there is a result');
  const both = reportOf([one, { ...one, size: 2 ** 28 }], 3);
  const lines = benchLines(
    { ...both, skipped: [{ size: 2 ** 28, work: 'save', name: 'fio', reason: 'no' }] },
    plain,
  );
  t.true(lines.includes('load, random memory, cold file, 2 GiB'));
  t.true(lines.includes('load, random memory, cold file, 256 MiB'));
  t.regex(lines.join('\n'), /^memory +2 GiB, 256 MiB of a guest, 3 rounds/m);
  t.is(lines.at(-1), '  save, fio: no (256 MiB)');
});

test('what could not be measured is said, with the reason', (t) => {
  const lines = benchLines(
    report({ skipped: [{ size: 2 ** 31, work: 'save', name: 'QEMU', reason: 'no QEMU' }] }),
    plain,
  );
  t.deepEqual(lines.slice(-2), ['Not measured', '  save, QEMU: no QEMU']);
});

test('a sweep is told by its best settings, and by what the defaults lose beyond noise', (t) => {
  const [best, defaults] = [point(4, 1000), point(1, 1250)];
  const told = (found: Omit<SweepBest, 'work'>, fixed = {}): readonly string[] =>
    benchLines(
      report({
        sweep: { size: 2 ** 31, fixed, points: [best, defaults], best: [{ work: 'save', ...found }] },
      }),
      plain,
    ).slice(-2);
  const [fast, usual] = [4, 1].map(
    (channels) => `io_uring, ${channels} channel${channels === 1 ? '' : 's'}, depth 16, requests of 1 MiB`,
  );
  t.deepEqual(told({ best, defaults, comparison: { rounds: 8, behind: 0.24, isClear: true } }), [
    'Settings that were fastest here, of 2 beside the defaults',
    `  save: ${fast}, 2.15 GB/s; in 8 rounds against them, the defaults took 24 % longer: ${usual}, 1.72 GB/s`,
  ]);
  t.deepEqual(
    told(
      { best, defaults, comparison: { rounds: 8, behind: 0.24, isClear: false } },
      { requestSize: 1048576 },
    ),
    [
      'Settings that were fastest here, of 2 beside the defaults, requestSize 1048576 as given',
      `  save: the defaults are as good as any: ${usual}, 1.72 GB/s; in 8 rounds against them, what was fastest in the search was within the noise: ${fast}, 2.15 GB/s`,
    ],
  );
  t.is(told({ best: defaults, defaults })[1], `  save: the defaults are as good as any: ${usual}, 1.72 GB/s`);
});

function point(channels: number, median: number): SweepPoint {
  return {
    work: 'save',
    ioEngine: 'io_uring',
    channels,
    queueDepth: 16,
    requestSize: 2 ** 20,
    milliseconds: { median, min: median, max: median },
  };
}

/** A contender of a restore, whose guest ran at a time in all rounds. */
function restored(
  name: string,
  program: 'mapped-ram' | 'qemu',
  times: readonly number[],
  running: number,
): ContenderResult {
  const made = contenderOf(name, program, times);
  const rounds = made.rounds.map(({ milliseconds, bytes, dataBytes }) => {
    return { milliseconds, bytes, dataBytes, moments: { running } };
  });
  return { ...made, rounds, summary: summarize(rounds, false) };
}
