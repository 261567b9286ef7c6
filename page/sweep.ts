import * as Plot from '@observablehq/plot';

import type { BenchReport, SweepPoint } from '../ts/bench/report.ts';
import { type Chart, CHART_STYLE, sizeText } from './chart.ts';

const CELL = 44;

interface Cell extends Omit<SweepPoint, 'milliseconds'> {
  /** 10^9 bytes of guest memory per second. */
  readonly rate: number;
  readonly isBest: boolean;
  readonly isDefault: boolean;
}

/** Draws the sweep over the engine's settings: channels × depth, one field per size of requests. */
export function sweepCharts(reports: readonly BenchReport[], width: number): readonly Chart[] {
  return reports.flatMap((report) => {
    const cells = cellsOf(report);
    const fastest = Math.max(...cells.map(({ rate }) => rate));
    const kinds = new Set(cells.map((cell) => kindOf(cell)));
    return [...kinds].map((kind) =>
      sweepChart(
        kind,
        cells.filter((cell) => kindOf(cell) === kind),
        fastest,
        width,
      ),
    );
  });
}

function kindOf({ work, ioEngine }: Pick<SweepPoint, 'work' | 'ioEngine'>): string {
  return `${work} by ${ioEngine}`;
}

function cellsOf({ sweep }: BenchReport): readonly Cell[] {
  if (sweep === undefined) return [];
  return sweep.points.map((point) => {
    const { work, ioEngine, channels, queueDepth, requestSize, milliseconds } = point;
    const rate = sweep.size / 1e6 / milliseconds.median;
    const isBest = sweep.best.some(({ best }) => isSame(best, point));
    const isDefault = sweep.best.some(({ defaults }) => isSame(defaults, point));
    return { work, ioEngine, channels, queueDepth, requestSize, rate, isBest, isDefault };
  });
}

function isSame(left: SweepPoint, right: SweepPoint): boolean {
  return (
    kindOf(left) === kindOf(right) &&
    left.channels === right.channels &&
    left.queueDepth === right.queueDepth &&
    left.requestSize === right.requestSize
  );
}

function sweepChart(kind: string, cells: readonly Cell[], fastest: number, width: number): Chart {
  const [channels, depths, sizes] = (['channels', 'queueDepth', 'requestSize'] as const).map((key) =>
    [...new Set(cells.map((cell) => cell[key]))].toSorted((left, right) => left - right),
  );
  const [columns = [], rows = [], fields = []] = [channels, depths, sizes];
  const needed = fields.length * (columns.length * CELL * 1.35 + 16) + 70;
  const drawing = Plot.plot({
    width: Math.min(width, Math.max(360, needed)),
    height: rows.length * CELL + 95,
    marginTop: 45,
    marginLeft: 55,
    marginBottom: 42,
    style: CHART_STYLE,
    x: { domain: columns, label: 'channels', type: 'band' },
    y: { domain: rows.toReversed(), label: 'queue depth', type: 'band' },
    fx: { domain: fields, label: 'request size', tickFormat: (bytes: number) => sizeText(bytes) },
    marks: [
      Plot.cell(cells, {
        x: 'channels',
        y: 'queueDepth',
        fx: 'requestSize',
        fill: ({ rate }: Cell) => mixed(rate / fastest),
        inset: 1,
      }),
      Plot.cell(
        cells.filter(({ isBest }) => isBest),
        { x: 'channels', y: 'queueDepth', fx: 'requestSize', stroke: 'var(--ink)', strokeWidth: 3, inset: 1 },
      ),
      Plot.cell(
        cells.filter(({ isDefault }) => isDefault),
        {
          x: 'channels',
          y: 'queueDepth',
          fx: 'requestSize',
          stroke: 'var(--ink)',
          strokeWidth: 1.5,
          strokeDasharray: '4 3',
          inset: 4,
        },
      ),
      Plot.text(cells, {
        x: 'channels',
        y: 'queueDepth',
        fx: 'requestSize',
        text: ({ rate }: Cell) => rate.toFixed(rate < 10 ? 2 : 1),
        fill: 'var(--ink)',
      }),
    ],
  });
  const best = cells.toSorted((left, right) => right.rate - left.rate)[0];
  return {
    title: `${kind}, channels × queue depth`,
    caption:
      'GB/s, of the median time; the fuller the colour, the faster, and all of these charts have one scale from zero. Solid frame: the fastest of the search. Dashed frame: the defaults.',
    description:
      best === undefined
        ? 'nothing was measured'
        : `the fastest are ${best.channels} channels, depth ${best.queueDepth} and requests of ${sizeText(best.requestSize)}, with ${best.rate.toFixed(2)} GB/s`,
    drawing,
  };
}

/** Mixes two colours of the style sheet, which has them for light and for dark. */
function mixed(share: number): string {
  return `color-mix(in oklab, var(--hot) ${(share * 100).toFixed(1)}%, var(--cold))`;
}
