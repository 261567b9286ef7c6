import type { BenchProgram } from '../ts/bench/figures.ts';
import type { BenchReport, ContenderResult } from '../ts/bench/report.ts';

/** A chart with its words. */
export interface Chart {
  readonly title: string;
  readonly caption: string;
  /** What the chart shows, for those who do not see it. */
  readonly description: string;
  readonly drawing: Element;
}

/** Programs have their colours by these, which the page's style sheet has for light and for dark. */
export const PROGRAMS: readonly BenchProgram[] = ['mapped-ram', 'fio', 'copy', 'qemu'];
export const PROGRAM_COLOURS: readonly string[] = PROGRAMS.map((program) => `var(--${program})`);
export const PROGRAM_NAMES: Readonly<Record<BenchProgram, string>> = {
  'mapped-ram': 'mapped-ram',
  fio: 'fio',
  copy: 'plain copy',
  qemu: 'QEMU',
};

/** The text of all charts. */
export const CHART_STYLE = { fontSize: '13px', overflow: 'visible', background: 'none' } as const;

const MOST_WIDTH = 1000;
const LEAST_WIDTH = 320;

/** The width for charts in an element, in pixels. A document without a layout gets the greatest. */
export function chartWidth(place: Element): number {
  const { clientWidth } = place.parentElement ?? place;
  return clientWidth > 0 ? Math.min(MOST_WIDTH, Math.max(LEAST_WIDTH, clientWidth)) : MOST_WIDTH;
}

/** The title of one kind of work on one pattern of memory, with the file in one state. */
export function titleOf({ work, memory, file }: BenchReport['results'][number]): string {
  return work === 'save' ? `${work}, ${memory} memory` : `${work}, ${memory} memory, ${file} file`;
}

export function seconds(milliseconds: number): number {
  return milliseconds / 1000;
}

/** Formats seconds with three digits. */
export function secondsText(value: number): string {
  return `${value.toPrecision(3)} s`;
}

export function sizeText(bytes: number): string {
  const [mib, gib] = [bytes / 2 ** 20, bytes / 2 ** 30];
  if (gib >= 1) return `${Number(gib.toFixed(2))} GiB`;
  return mib >= 1 ? `${Number(mib.toFixed(2))} MiB` : `${Number((bytes / 1024).toFixed(2))} KiB`;
}

/** The median time of a contender in seconds. */
export function medianOf({ summary }: ContenderResult): number {
  return seconds(summary.milliseconds.median);
}
