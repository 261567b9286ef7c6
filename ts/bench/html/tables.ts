import type { BenchReport, BenchResult, FiguresSummary, Spread } from '../report.ts';
import { resultTitle, sizesInWords, skippedInWords } from '../report-words.ts';
import { escapeHtml } from './escape.ts';

const MIB = 2 ** 20;

interface Column {
  readonly title: string;
  readonly cell: (summary: FiguresSummary) => number | undefined;
  readonly digits: number;
}

const COLUMNS: readonly Column[] = [
  { title: 'GB/s', cell: ({ gigabytesPerSecond }) => gigabytesPerSecond, digits: 2 },
  { title: 'CPU s/GiB', cell: ({ cpuSecondsPerGiB }) => cpuSecondsPerGiB, digits: 2 },
  { title: 'peak MiB', cell: ({ peakBytes }) => mib(peakBytes), digits: 0 },
  { title: 'of these idle', cell: ({ idleBytes }) => mib(idleBytes), digits: 0 },
  { title: 'page cache MiB', cell: ({ pageCacheBytes }) => mib(pageCacheBytes), digits: 1 },
  { title: 'syscalls/GiB', cell: ({ syscallsPerGiB }) => syscallsPerGiB, digits: 0 },
  { title: 'requests/GiB', cell: ({ requestsPerGiB }) => requestsPerGiB, digits: 0 },
];

/** Makes the table of one kind of work. A column that no contender has a figure for is left out. */
export function resultTable(result: BenchResult, settings: BenchReport['settings']): string {
  const { contenders, work } = result;
  const columns = COLUMNS.filter(({ cell }) => contenders.some(({ summary }) => cell(summary) !== undefined));
  const moments = [...new Set(contenders.flatMap(({ summary }) => Object.keys(summary.moments ?? {})))];
  const titles = [
    '',
    work === 'restore' ? 'working set, s' : 'time, s',
    'fastest – slowest',
    ...moments.map((name) => `${name}, s`),
  ];
  const rows = contenders.map(({ name, summary }) =>
    [name, (summary.milliseconds.median / 1000).toFixed(3), spreadText(summary.milliseconds)].concat(
      moments.map((moment) => numberText(summary.moments?.[moment]?.median, 1000, 3)),
      columns.map(({ cell, digits }) => numberText(cell(summary), 1, digits)),
    ),
  );
  return table(resultTitle(result, settings), [[...titles, ...columns.map(({ title }) => title)], ...rows]);
}

/** Makes the list of the machine's facts and the bench's settings. */
export function factsList({ startedAt, machine, settings }: BenchReport): string {
  const facts: readonly (readonly [string, string | number | undefined])[] = [
    ['measured', startedAt],
    [settings.sizes.length === 1 ? 'size' : 'sizes', sizesInWords(settings.sizes)],
    ['rounds', settings.rounds],
    ['directory', settings.directory],
    ...Object.entries(settings.transfer),
    ['processor', machine.cpu],
    ['processors', machine.processors],
    ['memory', `${Math.round(machine.memory / MIB)} MiB`],
    ['filesystem', machine.filesystem],
    ['device', machine.device],
    ['load average', machine.load],
    ['kernel', `${machine.kernel}, ${machine.architecture}`],
    ['mapped-ram', machine.mappedRam],
    ['Node', machine.node],
    ['QEMU', machine.qemu ?? 'none'],
    ['fio', machine.fio ?? 'none'],
  ];
  const items = facts.map(
    ([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(String(value ?? 'not known'))}</dd>`,
  );
  return `<dl>\n${items.join('\n')}\n</dl>`;
}

/** Makes the list of what could not be measured. */
export function skippedList(report: BenchReport): string {
  const skipped = skippedInWords(report);
  if (skipped.length === 0) return '';
  const items = skipped.map((words) => `<li>${escapeHtml(words)}</li>`);
  return `<h3>Not measured</h3>\n<ul>\n${items.join('\n')}\n</ul>`;
}

function table(caption: string, [head = [], ...rows]: readonly (readonly string[])[]): string {
  const headings = head.map((title) => `<th scope="col">${escapeHtml(title)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`);
  return [
    `<div class="scroll"><table><caption>${escapeHtml(caption)}</caption>`,
    `<thead><tr>${headings}</tr></thead>`,
    `<tbody>\n${body.join('\n')}\n</tbody></table></div>`,
  ].join('\n');
}

function mib(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : bytes / MIB;
}

function numberText(value: number | undefined, divisor: number, digits: number): string {
  return value === undefined ? '–' : (value / divisor).toFixed(digits);
}

function spreadText({ min, max }: Spread): string {
  return `${(min / 1000).toFixed(3)} – ${(max / 1000).toFixed(3)}`;
}
