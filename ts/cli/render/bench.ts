import type {
  BenchReport,
  BenchResult,
  BenchSweep,
  FiguresSummary,
  SweepBest,
  SweepPoint,
} from '../../bench/report.ts';
import { bytesOverIdle } from '../../bench/summary.ts';
import { resultTitle, skippedInWords } from '../../bench/report-words.ts';
import { type Standing, standingsOf } from '../../bench/standing.ts';
import { keyValues, table } from './columns.ts';
import { formatCount, formatDuration, formatSize, printable } from './format.ts';
import type { Style } from './style.ts';

const MIB = 2 ** 20;

/** Shows a report to people. */
export function benchLines(report: BenchReport, style: Style): readonly string[] {
  const { results, settings, sweep } = report;
  const skipped = skippedInWords(report);
  return [
    ...keyValues(facts(report), style),
    ...results.flatMap((result) => [''].concat(resultLines(result, settings, style))),
    ...memoryNote(report, style),
    ...(sweep === undefined ? [] : ['', ...sweepLines(sweep, style)]),
    ...(skipped.length === 0 ? [] : ['', style('bold', 'Not measured')]),
    ...skipped.map((words) => `  ${printable(words)}`),
  ];
}

function facts({ machine, settings, elapsedMs }: BenchReport): readonly (readonly [string, string])[] {
  const { filesystem, device, cpu, processors, memory, load } = machine;
  const disk = [filesystem, device].map((fact) => fact ?? 'not known').join(' on ');
  const given = Object.entries(settings.transfer).map(([name, value]) => `${name} ${value}`);
  return [
    ['directory', `${printable(settings.directory)} (${printable(disk)})`],
    [
      'memory',
      `${settings.sizes.map((size) => formatSize(size)).join(', ')} of a guest, ${settings.rounds} round${settings.rounds === 1 ? '' : 's'} after one that warms up`,
    ],
    ...(given.length === 0 ? [] : [['settings', printable(given.join(', '))] as const]),
    [
      'machine',
      `${processors} × ${printable(cpu ?? 'unknown processor')}, ${formatSize(memory)}, load ${load}`,
    ],
    ['programs', `QEMU ${printable(machine.qemu ?? 'none')}, fio ${printable(machine.fio ?? 'none')}`],
    ['total', formatDuration(elapsedMs)],
  ];
}

interface Column {
  readonly title: string;
  readonly cell: (summary: FiguresSummary) => string | undefined;
}

const COLUMNS: readonly Column[] = [
  { title: 'GB/s', cell: ({ gigabytesPerSecond }) => gigabytesPerSecond?.toFixed(2) },
  { title: 'CPU s/GiB', cell: ({ cpuSecondsPerGiB }) => cpuSecondsPerGiB?.toFixed(2) },
  { title: 'peak MiB', cell: ({ peakBytes }) => mebibytes(peakBytes) },
  { title: 'over idle', cell: (summary) => mebibytes(bytesOverIdle(summary)) },
  { title: 'cache MiB', cell: ({ pageCacheBytes }) => mebibytes(pageCacheBytes) },
  { title: 'syscalls/GiB', cell: ({ syscallsPerGiB }) => whole(syscallsPerGiB) },
  { title: 'requests/GiB', cell: ({ requestsPerGiB }) => whole(requestsPerGiB) },
];

/** Shows one kind of work. A column without any figure is left out; a figure that is not known is a dash. */
function resultLines(
  result: BenchResult,
  settings: BenchReport['settings'],
  style: Style,
): readonly string[] {
  const { contenders, work } = result;
  const columns = COLUMNS.filter(({ cell }) => contenders.some(({ summary }) => cell(summary) !== undefined));
  const moments = [...new Set(contenders.flatMap(({ summary }) => Object.keys(summary.moments ?? {})))];
  const right = 'right' as const;
  const titles = [
    work === 'restore' ? 'working set' : 'seconds',
    'fastest',
    'slowest',
    ...moments,
    ...columns.map(({ title }) => title),
  ];
  return [
    style('bold', resultTitle(result, settings)),
    ...table(
      [{ title: '' }, ...titles.map((title) => ({ title, align: right }))],
      contenders.map(({ name, summary }) => {
        const { median, min, max } = summary.milliseconds;
        return [name].concat(
          [median, min, max].map(seconds),
          moments.map((moment) => seconds(summary.moments?.[moment]?.median)),
          columns.map(({ cell }) => cell(summary) ?? '–'),
        );
      }),
      style,
    ),
    ...standing(result),
  ];
}

function memoryNote({ results }: BenchReport, style: Style): readonly string[] {
  const contenders = results.flatMap((result) => result.contenders);
  if (contenders.every(({ summary }) => bytesOverIdle(summary) === undefined)) return [];
  const words =
    "over idle: MiB of the peak beyond those of a process of its kind that does nothing; for mapped-ram, beyond Node's own";
  return ['', style('dim', words)];
}

function standing(result: BenchResult): readonly string[] {
  const standings = standingsOf(result);
  const [first] = standings;
  if (first === undefined) return [];
  const words = standings.map(({ reference, ratio }) => `${ratio.toFixed(2)} × ${printable(reference)}`);
  const speed = result.work === 'restore' ? 'speed to the touched working set' : 'speed';
  return [
    `${printable(first.name)}: ${words.join(', ')} (${speed}, median of the rounds' ratios)`,
    ...standings.flatMap((one) => runningWords(one)),
  ];
}

/** Tells when guests run, as times: a guest that runs before its memory is there has not done what the other has. */
function runningWords({ name, reference, running }: Standing): readonly string[] {
  if (running === undefined) return [];
  const [own, other] = [running.own, running.reference].map((time) => `${seconds(time)} s`);
  return [`${printable(name)}: the guest runs after ${own}; ${printable(reference)}: after ${other}`];
}

function sweepLines({ size, fixed, points, best }: BenchSweep, style: Style): readonly string[] {
  const tried = points.length / Math.max(best.length, 1);
  const given = Object.entries(fixed).map(([name, value]) => `, ${printable(`${name} ${value}`)} as given`);
  return [
    style('bold', `Settings that were fastest here, of ${tried} beside the defaults${given.join('')}`),
    ...best.map((found) => `  ${found.work}: ${sweepWords(found, size)}`),
  ];
}

function sweepWords({ best, defaults, comparison }: SweepBest, size: number): string {
  const [winner, usual] = [best, defaults].map((point) => {
    const rate = size / 1e6 / point.milliseconds.median;
    return `${pointWords(point)}, ${rate.toFixed(2)} GB/s`;
  });
  if (comparison === undefined) return `the defaults are as good as any: ${usual}`;
  const { rounds, behind, isClear } = comparison;
  return isClear
    ? `${winner}; in ${rounds} rounds against them, the defaults took ${percent(behind)} longer: ${usual}`
    : `the defaults are as good as any: ${usual}; in ${rounds} rounds against them, what was fastest in the search was within the noise: ${winner}`;
}

function pointWords({ ioEngine, channels, queueDepth, requestSize }: SweepPoint): string {
  const depth = ioEngine === 'threads' ? '' : `, depth ${queueDepth}`;
  return `${ioEngine}, ${channels} channel${channels === 1 ? '' : 's'}${depth}, requests of ${formatSize(requestSize)}`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function seconds(milliseconds: number | undefined): string {
  return milliseconds === undefined ? '–' : (milliseconds / 1000).toFixed(3);
}

function mebibytes(bytes: number | undefined): string | undefined {
  return bytes === undefined ? undefined : (bytes / MIB).toFixed(1);
}

function whole(count: number | undefined): string | undefined {
  return count === undefined ? undefined : formatCount(Math.round(count));
}
