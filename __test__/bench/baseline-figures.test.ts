import { writeFile } from 'node:fs/promises';

import test from 'ava';

import { assertComparable } from '../../ts/bench/baseline/assert-comparable.ts';
import { readBaseline } from '../../ts/bench/baseline/baseline-file.ts';
import { compareWithBaseline } from '../../ts/bench/baseline/compare.ts';
import { benchPage } from '../../ts/bench/html/page.ts';
import type { BenchReport, BenchResult, ContenderResult } from '../../ts/bench/report.ts';
import { summarize } from '../../ts/bench/summary.ts';
import { baselineLines } from '../../ts/cli/render/baseline.ts';
import { toJson } from '../../ts/cli/render/json.ts';
import { plain } from '../../ts/cli/render/style.ts';
import { MappedRamError, messageOf } from '../../ts/errors.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { contenderOf, reportOf } from './noisy-reports.ts';

const GIB = 2 ** 30;
/** Five rounds of about one time. */
const AROUND = [0.98, 0.99, 1, 1.01, 1.02];

/** A save of each size, with the time of this package for it; fio takes 100 ms. */
function savesOf(times: readonly (readonly [size: number, time: number])[]): BenchReport {
  const results = times.map(([size, time]): BenchResult => {
    const contenders = [contenderAround('ours', 'mapped-ram', time), contenderAround('fio', 'fio', 100)];
    return { size, work: 'save', memory: 'random', file: 'cold', contenders };
  });
  return reportOf(results, AROUND.length);
}

function contenderAround(name: string, program: 'mapped-ram' | 'fio', time: number): ContenderResult {
  return contenderOf(
    name,
    program,
    AROUND.map((one) => one * time),
  );
}

/** How long a restore took to its moments, in milliseconds. */
interface Restored {
  readonly running: number;
  readonly workingSet: number;
}

interface RestoredByQemu extends Restored {
  readonly started: number;
}

const INSTANT: Restored = { running: 200, workingSet: 900 };
const EAGER: Restored = { running: 1000, workingSet: 1200 };
const QEMU: RestoredByQemu = { started: 150, running: 1000, workingSet: 1200 };

function restores({ instant = INSTANT, eager = EAGER, qemu = QEMU }): BenchReport {
  const contenders = [
    restoredBy('instant', 'mapped-ram', instant),
    restoredBy('eager', 'mapped-ram', eager),
    restoredBy('QEMU × 4', 'qemu', qemu),
  ];
  const result = { size: GIB, work: 'restore', memory: 'random', file: 'cold', contenders } as const;
  return reportOf([result], AROUND.length);
}

function restoredBy(
  name: string,
  program: 'mapped-ram' | 'qemu',
  { workingSet, ...moments }: Restored,
): ContenderResult {
  const rounds = AROUND.map((one) => ({
    milliseconds: workingSet * one,
    bytes: GIB,
    dataBytes: GIB,
    moments: Object.fromEntries(Object.entries(moments).map(([moment, time]) => [moment, time * one])),
  }));
  const settings: ContenderResult['settings'] =
    program === 'qemu' ? {} : { mode: name, mapsSnapshot: name === 'instant' };
  return {
    name,
    program,
    isReference: program === 'qemu',
    settings,
    rounds,
    summary: summarize(rounds, false),
  };
}

/** The figures of a second run that are worse than in the first, in words. */
function worse(now: BenchReport, before: BenchReport): readonly string[] {
  const { figures } = compareWithBaseline(now, before);
  return figures
    .filter(({ verdict }) => verdict === 'worse')
    .map(({ name, moment }) => `${name} to ${moment ?? 'the end'}`);
}

test('a size is compared with the same size alone', (t) => {
  const before = savesOf([
    [GIB, 100],
    [2 * GIB, 200],
    [8 * GIB, 800],
  ]);
  const now = savesOf([
    [4 * GIB, 400],
    [2 * GIB, 400],
    [GIB, 100],
  ]);
  const comparison = compareWithBaseline(now, before);
  t.deepEqual(
    comparison.figures.map(({ size, verdict }) => [size / GIB, verdict]),
    [
      [2, 'worse'],
      [1, 'fine'],
    ],
  );
  t.deepEqual(
    comparison.notCompared.map(({ size, reason }) => [size / GIB, reason]),
    [
      [4, 'not in the baseline'],
      [8, 'in the baseline, and not in this run'],
    ],
  );
  const lines = baselineLines(comparison, plain).join('\n');
  t.regex(lines, /WORSE {2}save random cold, 2 GiB, ours: 0\.50 × fio before, 0\.25 now: 50 % slower/);
  t.regex(lines, /not compared {2}save random cold, 8 GiB, ours: in the baseline/);
});

test('a baseline in which no size is that of the run is refused beforehand, and so is one of other work', async (t) => {
  const before = savesOf([
    [2 * GIB, 100],
    [GIB, 100],
  ]);
  const assert = (size: readonly number[], work: 'save' | 'load' = 'save'): Promise<void> =>
    assertComparable({ size, work: [work] }, before);
  const named = { instanceOf: MappedRamError, code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
  await t.throwsAsync(assert([GIB / 4, 4 * GIB]), {
    ...named,
    message: /another size of memory: expected 2 GiB, 1 GiB, found 256 MiB, 4 GiB/,
  });
  await t.throwsAsync(assert([GIB, 4 * GIB], 'load'), {
    ...named,
    message:
      /expected some of: save random cold, 2 GiB; save random cold, 1 GiB, found load random cold, 1 GiB;/,
  });
});

test('a restore that is slower to either moment is found, and only that moment is said', (t) => {
  const before = restores({});
  t.deepEqual(worse(before, before), []);
  t.deepEqual(worse(restores({ instant: { running: 400, workingSet: 910 } }), before), [
    'instant to running',
  ]);
  t.deepEqual(worse(restores({ instant: { running: 200, workingSet: 1800 } }), before), [
    'instant to the end',
  ]);
  t.deepEqual(worse(restores({ eager: { running: 2000, workingSet: 1250 } }), before), ['eager to running']);
});

test('a running guest whose memory is not there yet is divided by the start of QEMU, and no other is', (t) => {
  const before = restores({});
  // The disk became twice as fast: instant does not run earlier for that.
  const now = restores({
    instant: { running: 200, workingSet: 450 },
    eager: { running: 500, workingSet: 600 },
    qemu: { started: 150, running: 500, workingSet: 600 },
  });
  t.deepEqual(worse(now, before), []);
  t.deepEqual(
    worse(restores({ eager: EAGER, qemu: { started: 150, running: 500, workingSet: 1200 } }), before),
    ['eager to running'],
  );
  const slower = compareWithBaseline(restores({ instant: { running: 300, workingSet: 900 } }), before);
  t.regex(
    baselineLines(slower, plain).join('\n'),
    /WORSE {2}restore random cold, instant to running: 0\.75 × QEMU × 4 to started before, 0\.50 now: 33 % slower/,
  );
});

test('the limit is 10 % where nothing else is said', (t) => {
  const before = savesOf([[GIB, 100]]);
  t.is(compareWithBaseline(savesOf([[GIB, 108]]), before).verdict, 'fine');
  t.is(compareWithBaseline(savesOf([[GIB, 130]]), before).verdict, 'worse');
  t.is(compareWithBaseline(before, before, {}).maxRegression, 0.1);
});

test('a report as --json prints it is a baseline and a page, with null for what is not known', async (t) => {
  await using dir = await temporaryDirectory();
  const report = restores({});
  const unknown = { ...report, machine: { ...report.machine, fio: undefined }, sweep: undefined };
  await writeFile(dir.file('report.json'), toJson(unknown));
  const baseline = await readBaseline(dir.file('report.json'));
  t.deepEqual(compareWithBaseline(unknown, baseline).differences, []);
  const printed: BenchReport = JSON.parse(toJson(unknown));
  t.is(compareWithBaseline(printed, printed).verdict, 'fine');
  t.regex(await benchPage(printed), /<dt>fio<\/dt><dd>none<\/dd>/);
});

test('whatever is wrong in a report, the error is one of this package, and names the place', async (t) => {
  const report = {
    ...restores({}),
    skipped: [{ size: GIB, work: 'save', name: 'fio', reason: 'none' }],
    sweep,
  };
  const text = JSON.stringify(report);
  let refused = 0;
  for (const path of pathsIn(report)) {
    for (const wrong of [undefined, null, 'x', -1, [], {}, [null]]) {
      const changed: BenchReport = withMember(JSON.parse(text), path, wrong);
      const outcomes = [
        await failure(async () => compareWithBaseline(changed, restores({}))),
        await failure(async () => compareWithBaseline(restores({}), changed)),
        await failure(() => benchPage(changed)),
      ];
      for (const error of outcomes.filter((one) => one !== undefined)) {
        refused += 1;
        t.true(
          error instanceof MappedRamError,
          `${path.join('.')}, ${JSON.stringify(wrong)}: ${messageOf(error)}`,
        );
      }
    }
  }
  t.true(refused > 1000, `${refused}`);
  const found = { instanceOf: MappedRamError, code: 'ERR_MAPPED_RAM_CORRUPT' };
  const broken: BenchReport = withMember(JSON.parse(text), ['results', '0', 'size'], 'large');
  t.throws(() => compareWithBaseline(broken, restores({})), {
    ...found,
    message: /^results\[0\]\.size of the report: expected a number above 0, found "large"/,
  });
  t.throws(() => compareWithBaseline(restores({}), broken), { ...found, message: /size of the baseline/ });
  await t.throwsAsync(benchPage([restores({}), broken]), { ...found, message: /size of reports\[1\]/ });
});

const sweep = sweepOf();

function sweepOf(): object {
  const milliseconds = { median: 1, min: 1, max: 1 };
  const setting = { ioEngine: 'threads', channels: 2, queueDepth: 1, requestSize: 2 ** 20 };
  const point = { work: 'save', ...setting, milliseconds };
  return { size: GIB, points: [point], best: [{ work: 'save', best: point, defaults: point }] };
}

async function failure(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The places of all members, and of the first entries of lists. */
function pathsIn(value: unknown, above: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [above];
  const members = Object.entries(value).slice(0, Array.isArray(value) ? 1 : undefined);
  const below = members.flatMap(([name, member]) => pathsIn(member, [...above, name]));
  return above.length === 0 ? below : [above, ...below];
}

/** Changes one member of parsed JSON. */
function withMember<T>(whole: T, path: readonly string[], member: unknown): T {
  let place: unknown = whole;
  for (const name of path.slice(0, -1)) place = Reflect.get(Object(place), name);
  Reflect.set(Object(place), path.at(-1) ?? '', member);
  return whole;
}
