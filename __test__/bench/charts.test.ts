import { spawnSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';
import { DOMParser } from 'linkedom';

import type { ScalingPoint, ScalingReport } from '../../bench/scaling-report.ts';
import { scalingTables } from '../../bench/scaling-tables.ts';
import type { BenchReport } from '../../ts/bench/report.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { ROOT } from '../support/tree.ts';
import { contenderOf, reportOf } from './noisy-reports.ts';

const NAMES = ['mapped-ram <io_uring & direct>', 'fio', 'QEMU × 4'];
const MOST_BYTES = 60 * 1024;

function benchReport(size: number): BenchReport {
  const time = size / 1e6;
  const contenders = (['mapped-ram', 'fio', 'qemu'] as const).map((program, index) =>
    contenderOf(
      NAMES[index] ?? '',
      program,
      [1, 1.1, 1.3].map((factor) => factor * time * (index + 1)),
    ),
  );
  const point = {
    work: 'save',
    ioEngine: 'io_uring',
    channels: 2,
    queueDepth: 16,
    requestSize: 2 ** 20,
    milliseconds: { median: 100, min: 90, max: 120 },
  } as const;
  return {
    ...reportOf([{ size, work: 'save', memory: 'random', file: 'cold', contenders }], 3),
    sweep: { size, fixed: {}, points: [point], best: [{ work: 'save', best: point, defaults: point }] },
  };
}

function pointAt(at: number): ScalingPoint {
  return {
    at,
    size: 2 ** 30,
    milliseconds: { median: 500 + at, min: 400, max: 900 },
    cpuMs: 300,
    requests: 1025,
    channels: 1,
    dataBytes: 2 ** 30,
  };
}

function scalingReport(): ScalingReport {
  const { machine } = reportOf([], 5);
  const series = (['channels', 'zeros'] as const).flatMap((axis) =>
    ['save', 'load'].map((name) => ({ axis, name, points: [1, 16].map((at) => pointAt(at)) })),
  );
  return {
    kind: 'scaling',
    schemaVersion: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    elapsedMs: 1,
    machine,
    rounds: 5,
    series,
  };
}

interface Drawn {
  readonly status: number | null;
  readonly words: string;
  /** The charts by the names of their files. */
  readonly charts: ReadonlyMap<string, string>;
}

/** Runs the script with files of the reports in the place of `{0}`, `{1}` and so on. */
async function draw(reports: readonly unknown[], ...options: readonly string[]): Promise<Drawn> {
  await using dir = await temporaryDirectory();
  const out = dir.file('out');
  for (const [index, report] of reports.entries()) {
    await writeFile(dir.file(`${index}.json`), typeof report === 'string' ? report : JSON.stringify(report));
  }
  const args = options.map((option) =>
    option.replace(/^\{(\d+)\}$/, (_, index) => dir.file(`${index}.json`)),
  );
  const script = ['--import=@oxc-node/core/register', join(ROOT, 'scripts/draw-charts.mjs')];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...script, ...args, '--out', out], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const files = await readdir(out).catch((): string[] => []);
  const charts = await Promise.all(
    files.map(async (name) => [name, await readFile(join(out, name), 'utf8')] as const),
  );
  return { status, words: stdout + stderr, charts: new Map(charts) };
}

test('charts of reports are small files that load nothing, with all names, a title and a description', async (t) => {
  const [small, large] = [benchReport(2 ** 30), benchReport(2 ** 31)];
  const options = [
    '--times',
    '{1}',
    '--growth',
    '{0}',
    '--growth',
    '{1}',
    '--sweep',
    '{1}',
    '--scaling',
    '{2}',
  ];
  const { status, words, charts } = await draw([small, large, scalingReport()], ...options);
  t.is(status, 0, words);
  t.deepEqual([...charts.keys()].toSorted(), [
    'growth-save-random-memory.svg',
    'scaling-time-against-channels-1-GiB-of-memory.svg',
    'scaling-time-against-zero-pages-1-GiB-of-memory.svg',
    'sweep-save-by-io_uring-channels-by-queue-depth.svg',
    'times-save-random-memory.svg',
  ]);
  for (const [name, svg] of charts) {
    t.true(Buffer.byteLength(svg) < MOST_BYTES, name);
    t.notRegex(svg, /href|url\(|@import|<script|var\(--(?!plot)|color-mix|NaN|undefined/, name);
    const root = new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement;
    const [title, description, ground] = ['title', 'desc', 'rect'].map((tag) => root?.querySelector(tag));
    t.true((title?.textContent ?? '').length > 10, name);
    t.regex(description?.textContent ?? '', /\d (s|GB\/s)/, name);
    t.is(ground?.getAttribute('fill'), '#ffffff', name);
    t.is(ground?.getAttribute('width'), root?.getAttribute('width'), name);
  }
  const textOf = (name: string): readonly string[] => {
    const parsed = new DOMParser().parseFromString(charts.get(name) ?? '', 'image/svg+xml');
    return [...parsed.querySelectorAll('text')].map(({ textContent }) => textContent);
  };
  for (const name of ['times-save-random-memory.svg', 'growth-save-random-memory.svg']) {
    for (const contender of NAMES) t.true(textOf(name).includes(contender), `${name}: ${contender}`);
  }
  for (const text of ['save', 'load', '16']) {
    t.true(textOf('scaling-time-against-channels-1-GiB-of-memory.svg').includes(text), text);
  }
});

test('a report that a chart cannot be made of is an error that says what is needed, and nothing is drawn', async (t) => {
  const report = benchReport(2 ** 30);
  const { sweep: _, ...rest } = report;
  const cases = [
    [['--growth', '{0}', '--growth', '{0}'], /--growth needs reports .* two sizes/],
    [['--sweep', '{1}'], /--sweep needs a report of `mapped-ram bench --sweep --json`/],
    [['--scaling', '{0}'], /expected what `npm run --silent measure:scaling` prints/],
    [['--times', '{2}'], /2\.json is no JSON/],
    [['--times', '{0}', '--only', 'verify'], /--only verify: .* there are times-save-random-memory/],
    [['--sweep', '{0}', '--sweep', '{0}'], /two reports make the chart sweep-save/],
  ] as const;
  for (const [options, expected] of cases) {
    const { status, words, charts } = await draw([report, rest, '{"cut'], ...options);
    t.is(status, 1, words);
    t.regex(words, expected);
    t.is(charts.size, 0);
  }
});

test('without a report, the script says which chart needs which', async (t) => {
  const { status, words, charts } = await draw([]);
  t.is(status, 0);
  for (const kind of ['--times', '--growth', '--sweep', '--scaling']) t.true(words.includes(kind), kind);
  t.is(charts.size, 0);
});

test('the tables of how cost grows have a row per place and figures per kind of work', (t) => {
  const report = scalingReport();
  const sizes = [2 ** 28, 2 ** 30].map((size) => {
    const median = (size / 2 ** 30) * 1000;
    return Object.assign(pointAt(size), { size, milliseconds: { median, min: median, max: 2 * median } });
  });
  const text = scalingTables({
    ...report,
    series: [{ axis: 'size', name: 'save', points: sizes }, ...report.series],
  });
  for (const line of [
    'Medians of 5 rounds in turns, at a load average of 0.5 at the start; in brackets the extremes. GB and GiB are of guest memory, zero pages included.',
    '| memory | save | GB/s | CPU s/GiB |',
    '| 256 MiB | 0.25 s (0.25 to 0.50) | 1.07 | 1.20 |',
    '| 1 GiB | 1.00 s (1.00 to 2.00) | 1.07 | 0.30 |',
    '- save: 1 GiB took 4 × the time of 256 MiB (4 × the memory).',
    '| 16 | 0.52 s (0.40 to 0.90) | 2.08 | 0.30 | 0.52 s (0.40 to 0.90) | 2.08 | 0.30 |',
    'Of 1 GiB:',
    '| zero pages | save | CPU s/GiB | load | CPU s/GiB |',
    '| 16 % | 0.52 s (0.40 to 0.90) | 0.30 | 0.52 s (0.40 to 0.90) | 0.30 |',
  ]) {
    t.true(text.split('\n').includes(line), `${line}\n${text}`);
  }
});
