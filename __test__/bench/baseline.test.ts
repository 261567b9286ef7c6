import { symlink, writeFile, readFile } from 'node:fs/promises';

import test from 'ava';
import * as fc from 'fast-check';

import { readBaseline, saveBaseline } from '../../ts/bench/baseline/baseline-file.ts';
import { compareWithBaseline, LEVEL } from '../../ts/bench/baseline/compare.ts';
import { lossBetween, shiftTest } from '../../ts/bench/baseline/shift-test.ts';
import { MOST_SPLITS, splitsOf } from '../../ts/bench/baseline/splits.ts';
import type { BenchReport, BenchResult } from '../../ts/bench/report.ts';
import { type ErrorCode, MappedRamError } from '../../ts/errors.ts';
import { baselineLines } from '../../ts/cli/render/baseline.ts';
import { plain } from '../../ts/cli/render/style.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { contenderOf, type Noise, QUIET, reportOf, seeded, twoReports, USUAL } from './noisy-reports.ts';

const LIMIT = { maxRegression: 0.1 };
const BUSY: Noise = { ...USUAL, busy: 0.3 };
const TWO_SPEEDS: Noise = { ...USUAL, disk: 0.95 };
const STEADY: Noise = { ...QUIET, delayed: 0, drift: 0, spread: 0.01 };
const WILD: Noise = { ...USUAL, spread: 0.3, delayed: 0.15, delay: 0.6 };

function verdictOf([before, now]: readonly [BenchReport, BenchReport]): 'fine' | 'worse' {
  return compareWithBaseline(now, before, LIMIT).verdict;
}

/** The share of pairs of runs of an unchanged build that are called worse. */
function falseAlarms(noises: readonly [Noise, Noise], runs: number): number {
  const random = seeded(7);
  const verdicts = Array.from({ length: runs }, () => verdictOf(twoReports(random, noises)));
  return verdicts.filter((verdict) => verdict === 'worse').length / runs;
}

/** Tells when a save takes `milliseconds` in each of five rounds, beside one reference. */
function saves(
  own: readonly number[],
  reference: readonly number[] = [100, 101, 102, 103, 104],
  otherProcessors?: number,
): BenchReport {
  const contenders = [contenderOf('ours', 'mapped-ram', own), contenderOf('fio', 'fio', reference)];
  const kind = { size: 2 ** 31, work: 'save', memory: 'random', file: 'cold' } as const;
  const others = otherProcessors === undefined ? {} : { otherProcessors };
  return reportOf([{ ...kind, ...others, contenders }], own.length);
}

for (const [name, noises] of [
  ['a quiet machine', [QUIET, QUIET]],
  ['a usual machine', [USUAL, USUAL]],
  ['a machine that became busy', [USUAL, BUSY]],
  ['a disk of two speeds, which change within rounds', [TWO_SPEEDS, TWO_SPEEDS]],
] as const) {
  test(`an unchanged build passes on ${name}`, (t) => {
    t.true(falseAlarms(noises, 100) <= 0.01);
  });
}

test('an unchanged build is called worse no more often than the level says, even on a wild machine', (t) => {
  t.true(falseAlarms([WILD, WILD], 60) <= LEVEL);
});

test('a build that takes 1.5 times as long is caught by five rounds against five, nearly every figure of it', (t) => {
  const random = seeded(11);
  const comparisons = Array.from({ length: 16 }, () => {
    const [before, now] = twoReports(random, [USUAL, USUAL], { slowdown: 1.5 });
    return compareWithBaseline(now, before, LIMIT);
  });
  t.true(comparisons.every(({ verdict }) => verdict === 'worse'));
  const figures = comparisons.flatMap((comparison) => comparison.figures);
  t.is(figures.length, 320);
  t.true(figures.filter(({ verdict }) => verdict === 'worse').length >= 0.9 * figures.length);
});

test('a disk that changes its speed within rounds hides a small loss, and no great one', (t) => {
  const random = seeded(11);
  const caught = (slowdown: number): number => {
    const verdicts = Array.from({ length: 10 }, () =>
      verdictOf(twoReports(random, [TWO_SPEEDS, TWO_SPEEDS], { slowdown })),
    );
    return verdicts.filter((verdict) => verdict === 'worse').length;
  };
  t.true(caught(1.5) < 10);
  t.is(caught(3), 10);
});

test('the turns of one round do not all find the disk at one speed', (t) => {
  const random = seeded(3);
  const [{ results }] = twoReports(random, [{ ...STEADY, disk: 3 }, STEADY], { rounds: 50 });
  const rounds = results.flatMap(({ contenders }) =>
    Array.from({ length: 50 }, (_, round) =>
      contenders.map(({ rounds: own }) => own[round]?.milliseconds ?? 0),
    ),
  );
  // The two speeds are a factor of 20 apart, and nothing else differs so much.
  const mixed = rounds.filter((times) => Math.max(...times) > 5 * Math.min(...times));
  t.true(
    mixed.length > 0.3 * rounds.length && mixed.length < rounds.length,
    `${mixed.length} of ${rounds.length}`,
  );
});

test('one figure of twenty that takes 1.5 times as long is caught on a quiet machine, and no other is', (t) => {
  const random = seeded(13);
  const caught = Array.from({ length: 20 }, () => {
    const [before, now] = twoReports(random, [QUIET, QUIET], { slowdown: 1.5, isSlowed });
    return compareWithBaseline(now, before, LIMIT).figures.filter(({ verdict }) => verdict === 'worse');
  });
  t.true(caught.flat().every(({ work, name }) => isSlowed(work, name)));
  t.true(caught.flat().length >= 19);
});

test('a build that became faster passes, and so does a machine that became slower', (t) => {
  t.is(verdictOf([saves([50, 51, 52, 53, 54]), saves([25, 26, 27, 28, 29])]), 'fine');
  const slower = saves([500, 510, 520, 530, 540], [1000, 1010, 1020, 1030, 1040]);
  t.is(verdictOf([saves([50, 51, 52, 53, 54]), slower]), 'fine');
});

test('a single figure is caught, and told with its ratios', (t) => {
  const [before, now] = [saves([80, 81, 82, 83, 84]), saves([160, 162, 164, 166, 168])];
  const comparison = compareWithBaseline(now, before, LIMIT);
  const [figure] = comparison.figures;
  t.is(comparison.verdict, 'worse');
  t.is(figure?.p, 1 / 252);
  t.is(figure?.change.toFixed(3), '-0.500');
  t.regex(
    baselineLines(comparison, plain).join('\n'),
    /WORSE {2}save random cold, ours: 1\.24 × fio before, 0\.62 now: 50 % slower \(limit 10 %; p 0\.004\)/,
  );
});

test('a loss within the limit passes, however certain it is', (t) => {
  const before = saves([80, 80.1, 80.2, 80.3, 80.4], [100, 100, 100, 100, 100]);
  const now = saves([86, 86.1, 86.2, 86.3, 86.4], [100, 100, 100, 100, 100]);
  t.is(verdictOf([before, now]), 'fine');
  t.is(compareWithBaseline(now, before, { maxRegression: 0.05 }).verdict, 'worse');
});

test('references that moved against each other widen what is let pass', (t) => {
  t.is(verdictOf([reports(100, 100, 100), reports(150, 100, 100)]), 'worse');
  t.is(verdictOf([reports(100, 100, 100), reports(150, 100, 150)]), 'fine');
});

test('a loss that other programs explain passes, a greater one does not', (t) => {
  const before = saves([80, 81, 82, 83, 84], undefined, 0.1);
  // The machine of these reports has two processors. Another program has one of them: 1.9 are left before, 1 is now.
  const slower = [128, 129.6, 131.2, 132.8, 134.4];
  t.is(verdictOf([before, saves(slower, undefined, 1)]), 'fine');
  t.is(verdictOf([before, saves(slower, undefined, 0.1)]), 'worse');
  // What is not known explains nothing.
  t.is(verdictOf([before, saves(slower)]), 'worse');
  t.is(verdictOf([saves([80, 81, 82, 83, 84]), saves(slower, undefined, 1)]), 'worse');
  const uncounted = { ...before, machine: { ...before.machine, processors: Number.NaN } };
  t.is(verdictOf([uncounted, saves(slower, undefined, 1)]), 'worse');
  const much = [240, 243, 246, 249, 252];
  const comparison = compareWithBaseline(saves(much, undefined, 1), before, LIMIT);
  t.is(comparison.verdict, 'worse');
  t.is(comparison.figures[0]?.explained.toFixed(3), '0.474');
  t.regex(baselineLines(comparison, plain).join('\n'), /limit 10 % and 47.4 % that other programs explain/);
  // A baseline that was made on a busy machine makes an unchanged build look slower on a quiet one.
  t.is(verdictOf([saves([80, 81, 82, 83, 84], undefined, 1), saves(slower, undefined, 0.1)]), 'fine');
  // A machine without a processor left explains much, and not everything.
  const crowded = compareWithBaseline(saves(much, undefined, 2.3), before, LIMIT);
  t.true((crowded.figures[0]?.explained ?? 1) < 1);
});

test('what is only in one report is said', (t) => {
  const before = reportOf([result('save', 'both', 'old'), result('diff', 'gone')], 5);
  const now = reportOf([result('save', 'both', 'new'), result('load', 'more')], 5);
  const { figures, notCompared } = compareWithBaseline(now, before, LIMIT);
  t.deepEqual(
    figures.map(({ name }) => name),
    ['both'],
  );
  t.deepEqual(
    notCompared.map(({ work, name, reason }) => `${work} ${name}: ${reason}`),
    [
      'save new: not in the baseline',
      'load more: not in the baseline',
      'save old: in the baseline, and not in this run',
      'diff gone: in the baseline, and not in this run',
    ],
  );
});

test('other conditions are said: machine, directory, settings', (t) => {
  const before = saves([10, 11, 12, 13, 14]);
  const now: BenchReport = {
    ...before,
    machine: { ...before.machine, kernel: '6.18.0', fio: undefined, mappedRam: '0.2.0' },
    settings: { ...before.settings, directory: '/other', transfer: { requestSize: 65_536 } },
  };
  t.deepEqual(compareWithBaseline(now, before, LIMIT).differences, [
    'directory: /data before, /other now',
    'requestSize: default before, 65536 now',
    'kernel: 6.12.0 before, 6.18.0 now',
    'fio: 3.33 before, not known now',
  ]);
});

test('a baseline that cannot judge is an error, and never fine', (t) => {
  const good = saves([10, 11, 12, 13, 14]);
  const named = { instanceOf: MappedRamError, code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
  const cases: readonly (readonly [string, BenchReport, RegExp])[] = [
    ['no results', { ...good, results: [] }, /no figure of this package/],
    ['few rounds', saves([10, 11, 12], [10, 11, 12]), /the baseline has 3 rounds, and a comparison needs 5/],
    ['other counts', saves([10, 11, 12, 13, 14], [1, 2, 3, 4]), /5 rounds of it, and 4 of fio/],
    ['no references', withReference({ isReference: false }), /none before, fio now/],
    [
      'other settings',
      withReference({ settings: { directIo: false } }),
      /no reference with the same settings/,
    ],
  ];
  for (const [title, before, message] of cases) {
    t.throws(() => compareWithBaseline(good, before, LIMIT), { ...named, message }, title);
  }
  for (const maxRegression of [-0.1, 1, Number.NaN]) {
    t.throws(() => compareWithBaseline(good, good, { maxRegression }), {
      code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
    });
  }
});

function withReference(changes: Partial<BenchResult['contenders'][number]>): BenchReport {
  const report = saves([10, 11, 12, 13, 14]);
  const results = report.results.map(({ contenders, ...kind }) => {
    const [own, reference] = contenders;
    if (own === undefined || reference === undefined) throw new Error('there are two contenders');
    return { ...kind, contenders: [own, { ...reference, ...changes }] };
  });
  return { ...report, results };
}

test('splits are all ways to choose, or as many as are looked at, and the first is the one as measured', (t) => {
  t.is(splitsOf(10, 5).length, 252);
  t.is(splitsOf(12, 6).length, 924);
  t.is(splitsOf(20, 10).length, MOST_SPLITS);
  for (const [all, chosen] of [
    [10, 5],
    [12, 5],
    [20, 10],
  ] as const) {
    const splits = splitsOf(all, chosen);
    t.deepEqual(
      splits[0],
      Array.from({ length: all }, (_, index) => index < chosen),
    );
    t.true(splits.every((split) => split.filter(Boolean).length === chosen));
    t.deepEqual(splits, splitsOf(all, chosen));
  }
  t.is(new Set(splitsOf(10, 5).map(String)).size, 252);
});

test('a loss is what was lost, whatever the speeds', (t) => {
  const speeds = fc.array(fc.double({ noNaN: true, min: -5, max: 5 }), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(speeds, fc.double({ noNaN: true, min: -2, max: 2 }), (before, loss) => {
      const now = before.map((speed) => speed - loss);
      t.true(Math.abs(lossBetween(before, now) - loss) < 1e-9);
    }),
  );
});

test('rounds without any noise give no false certainty', (t) => {
  const same = { before: [1, 1, 1, 1, 1], now: [1, 1, 1, 1, 1], isSuspect: true, margin: 0 };
  t.deepEqual(shiftTest([same]), [1]);
  t.deepEqual(shiftTest([{ ...same, now: [0, 0, 0, 0, 0] }]), [1 / 252]);
});

test('a baseline comes back as it was saved, and replaces an older one', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('before.json');
  await writeFile(path, 'old');
  const report = saves([10, 11, 12, 13, 14]);
  await saveBaseline(report, path);
  t.deepEqual(await readBaseline(path), report);
});

test('a baseline that cannot be written is an error, and leaves nothing', async (t) => {
  await using dir = await temporaryDirectory();
  const report = saves([10, 11, 12, 13, 14]);
  const error = await t.throwsAsync(saveBaseline(report, dir.file('no/such.json')), {
    instanceOf: MappedRamError,
  });
  t.is(Reflect.get(error ?? {}, 'code'), 'ERR_MAPPED_RAM_IO');
  await symlink('/dev/full', dir.file('full'));
  await t.throwsAsync(saveBaseline(report, dir.file('full')), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});

test('a file that is no baseline is an error that says what was expected', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('before.json');
  await saveBaseline(saves([10, 11, 12, 13, 14]), path);
  const text = await readFile(path, 'utf8');
  const cases: readonly (readonly [string, ErrorCode, RegExp])[] = [
    ['', 'ERR_MAPPED_RAM_TRUNCATED', /cut short/],
    [text.slice(0, 700), 'ERR_MAPPED_RAM_TRUNCATED', /cut short/],
    ['not json', 'ERR_MAPPED_RAM_CORRUPT', /not JSON/],
    ['[]', 'ERR_MAPPED_RAM_CORRUPT', /an object.*an array/],
    ['{}', 'ERR_MAPPED_RAM_CORRUPT', /schemaVersion/],
    [text.replace('"schemaVersion": 1', '"schemaVersion": 2'), 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION', /1.*2/],
    [text.replace('"machine"', '"engine"'), 'ERR_MAPPED_RAM_CORRUPT', /machine/],
    [text.replace('"save"', '"sing"'), 'ERR_MAPPED_RAM_CORRUPT', /results\[0\]\.work.*save or load/],
    [text.replace('"milliseconds": 10', '"milliseconds": 0'), 'ERR_MAPPED_RAM_CORRUPT', /rounds\[0\]/],
    [text.replace('"isReference": false', '"isReference": 0'), 'ERR_MAPPED_RAM_CORRUPT', /isReference/],
  ];
  for (const [content, code, message] of cases) {
    await writeFile(path, content);
    const error = await t.throwsAsync(readBaseline(path), { instanceOf: MappedRamError, message });
    t.is(Reflect.get(error ?? {}, 'code'), code, content.slice(0, 40));
    t.true(error?.message.includes(path));
  }
  await t.throwsAsync(readBaseline('/dev/zero'), { message: /at most/ });
  await t.throwsAsync(readBaseline(dir.file('missing')), { code: 'ERR_MAPPED_RAM_IO' });
});

function isSlowed(work: string, name: string): boolean {
  return work === 'load' && name === 'threads, direct';
}

/** A report whose contenders took about these times. */
function reports(own: number, fio: number, copy: number): BenchReport {
  const contenders = [
    contenderOf('ours', 'mapped-ram', around(own)),
    contenderOf('fio', 'fio', around(fio)),
    contenderOf('copy', 'copy', around(copy)),
  ];
  return reportOf([{ size: 2 ** 31, work: 'save', memory: 'random', file: 'cold', contenders }], 5);
}

function around(time: number): readonly number[] {
  return [0.98, 0.99, 1, 1.01, 1.02].map((one) => one * time);
}

function result(work: BenchResult['work'], ...names: readonly string[]): BenchResult {
  const own = names.map((name) => contenderOf(name, 'mapped-ram', [10, 11, 12, 13, 14]));
  const contenders = [...own, contenderOf('fio', 'fio', [10, 11, 12, 13, 14])];
  return { size: 2 ** 31, work, memory: 'random', file: 'cold', contenders };
}
