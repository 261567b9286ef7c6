import * as Plot from '@observablehq/plot';

import { CHART_STYLE } from './chart.ts';

const HEIGHT = 360;
/** Pixels between the names of two lines, at the least. */
const LABEL = 22;

/** One measured place of a line. */
export interface Point {
  /** The line that the point belongs to, by which it has its colour. */
  readonly line: string;
  readonly name: string;
  readonly at: number;
  /** Seconds, as the other times. */
  readonly time: number;
  readonly fastest: number;
  readonly slowest: number;
}

export interface Axis {
  /** The quantity with its unit. */
  readonly label: string;
  /** Where the axis has ticks; where it is not told, Plot chooses. */
  readonly ticks?: readonly number[] | undefined;
}

export interface Colours {
  readonly domain: readonly string[];
  readonly range: readonly string[];
}

/** Draws time against some quantity: a line per contender, with the spread at each point. Both axes begin at zero. */
export function drawLines(
  points: readonly Point[],
  { label, ticks }: Axis,
  colours: Colours,
  width: number,
): Element {
  const places = points.map(({ at }) => at);
  const last = lastOf(points);
  return Plot.plot({
    width,
    height: HEIGHT,
    marginLeft: 50,
    marginRight: 190,
    marginBottom: 45,
    style: CHART_STYLE,
    x: {
      domain: [0, Math.max(...places)],
      grid: true,
      label,
      labelAnchor: 'center',
      ...(ticks && { ticks: [...ticks] }),
    },
    y: {
      domain: [0, Math.max(...points.map(({ slowest }) => slowest))],
      nice: true,
      grid: true,
      label: 'seconds',
    },
    color: { domain: [...colours.domain], range: [...colours.range] },
    marks: [
      Plot.ruleX([0]),
      Plot.ruleY([0]),
      Plot.ruleX(points, { x: 'at', y1: 'fastest', y2: 'slowest', stroke: 'line' }),
      Plot.line(points, { x: 'at', y: 'time', stroke: 'line', strokeWidth: 2, sort: 'at' }),
      Plot.dot(points, { x: 'at', y: 'time', fill: 'line', r: 3.5 }),
      Plot.text(apart(last, Math.max(...points.map(({ slowest }) => slowest))), {
        x: 'at',
        y: 'place',
        text: 'name',
        fill: 'line',
        textAnchor: 'start',
        dx: 10,
      }),
    ],
  });
}

/** The points that are farthest to the right. */
export function lastOf<P extends Point>(points: readonly P[]): readonly P[] {
  const end = Math.max(...points.map(({ at }) => at));
  return points.filter(({ at }) => at === end);
}

interface Label extends Pick<Point, 'line' | 'name' | 'at'> {
  /** Seconds, as the axis has them. */
  readonly place: number;
}

/** Gives labels places that do not overlap, from the lowest on. */
function apart(points: readonly Point[], most: number): readonly Label[] {
  const least = (most / HEIGHT) * LABEL;
  let last = -Infinity;
  return points
    .toSorted((left, right) => left.time - right.time)
    .map(({ line, name, at, time }) => {
      last = Math.max(time, last + least);
      return { line, name, at, place: last };
    });
}
