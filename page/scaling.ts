import {
  SCALING_AXES,
  type ScalingAxis,
  type ScalingPoint,
  type ScalingReport,
} from '../bench/scaling-report.ts';
import { type Chart, PROGRAM_COLOURS, seconds, secondsText, sizeText } from './chart.ts';
import { type Axis, drawLines, lastOf, type Point } from './lines.ts';

interface Words extends Axis {
  readonly title: string;
  /** The quantity of a point in the chart's unit. */
  readonly placeOf: (at: number) => number;
  readonly unit: string;
}

const WORDS: Readonly<Record<ScalingAxis, Words>> = {
  size: {
    title: 'time against size',
    label: 'GiB of guest memory',
    placeOf: (at) => at / 2 ** 30,
    unit: 'GiB',
  },
  channels: {
    title: 'time against channels',
    label: 'channels',
    placeOf: (at) => at,
    ticks: [1, 2, 4, 8, 16],
    unit: 'channels',
  },
  zeros: {
    title: 'time against zero pages',
    label: 'zero pages, % of guest memory',
    placeOf: (at) => at,
    ticks: [0, 25, 50, 75, 100],
    unit: '% zero pages',
  },
};

/** Draws time against each quantity that the report of scripts/measure-scaling.mjs has. */
export function scalingCharts({ series, rounds }: ScalingReport, width: number): readonly Chart[] {
  return SCALING_AXES.flatMap((axis) => {
    const own = series.filter((one) => one.axis === axis);
    if (own.length === 0) return [];
    const words = WORDS[axis];
    const points = own.flatMap(({ name, points: all }) => all.map((point) => pointOf(name, point, words)));
    const colours = { domain: own.map(({ name }) => name), range: PROGRAM_COLOURS };
    const size = axis === 'size' ? '' : `, ${sizeText(own[0]?.points[0]?.size ?? 0)} of memory`;
    return [
      {
        title: words.title + size,
        caption: `Medians of ${rounds} rounds. Vertical line: from the fastest round to the slowest.`,
        description: lastOf(points)
          .map(({ name, time, at }) => `${name} ${secondsText(time)} with ${at} ${words.unit}`)
          .join(', '),
        drawing: drawLines(points, words, colours, width),
      },
    ];
  });
}

function pointOf(name: string, { at, milliseconds }: ScalingPoint, { placeOf }: Words): Point {
  return {
    line: name,
    name,
    at: placeOf(at),
    time: seconds(milliseconds.median),
    fastest: seconds(milliseconds.min),
    slowest: seconds(milliseconds.max),
  };
}
