import * as Plot from '@observablehq/plot';

import type { BenchProgram } from '../ts/bench/figures.ts';
import type { BenchReport, BenchResult } from '../ts/bench/report.ts';
import {
  type Chart,
  CHART_STYLE,
  medianOf,
  PROGRAM_COLOURS,
  PROGRAM_NAMES,
  PROGRAMS,
  seconds,
  secondsText,
  titleOf,
} from './chart.ts';

const HEIGHT = 360;
const GIB = 2 ** 30;

interface Point {
  readonly program: BenchProgram;
  readonly name: string;
  /** GiB. */
  readonly size: number;
  /** Seconds. */
  readonly time: number;
  readonly fastest: number;
  readonly slowest: number;
}

/** Draws time against size, where the reports have several sizes of the same work. */
export function growthCharts(reports: readonly BenchReport[], width: number): readonly Chart[] {
  const largest = reports.toSorted((left, right) => right.settings.size - left.settings.size);
  const titles = new Set(largest.flatMap(({ results }) => results.map((result) => titleOf(result))));
  return [...titles].flatMap((title) => {
    const results = largest.flatMap(({ settings, results: all }) =>
      all.filter((result) => titleOf(result) === title).map((result) => ({ size: settings.size, result })),
    );
    const points = PROGRAMS.flatMap((program) => pointsOf(program, results));
    return new Set(points.map(({ size }) => size)).size < 2 ? [] : [growthChart(title, points, width)];
  });
}

/** The points of the contender of a program that is fastest at the largest size. */
function pointsOf(
  program: BenchProgram,
  results: readonly { readonly size: number; readonly result: BenchResult }[],
): readonly Point[] {
  const best = results[0]?.result.contenders
    .filter((contender) => contender.program === program)
    .toSorted((left, right) => medianOf(left) - medianOf(right))[0]?.name;
  return results.flatMap(({ size, result }) =>
    result.contenders
      .filter(({ name }) => name === best)
      .map(({ name, summary: { milliseconds } }) => ({
        program,
        name,
        size: size / GIB,
        time: seconds(milliseconds.median),
        fastest: seconds(milliseconds.min),
        slowest: seconds(milliseconds.max),
      })),
  );
}

function growthChart(title: string, points: readonly Point[], width: number): Chart {
  const drawing = Plot.plot({
    width,
    height: HEIGHT,
    marginLeft: 50,
    marginRight: 190,
    marginBottom: 45,
    style: CHART_STYLE,
    x: {
      domain: [0, Math.max(...points.map(({ size }) => size))],
      grid: true,
      label: 'GiB of guest memory',
      labelAnchor: 'center',
    },
    y: {
      domain: [0, Math.max(...points.map(({ slowest }) => slowest))],
      nice: true,
      grid: true,
      label: 'seconds',
    },
    color: { domain: [...PROGRAMS], range: [...PROGRAM_COLOURS] },
    marks: [
      Plot.ruleX([0]),
      Plot.ruleY([0]),
      Plot.ruleX(points, { x: 'size', y1: 'fastest', y2: 'slowest', stroke: 'program' }),
      Plot.line(points, { x: 'size', y: 'time', stroke: 'program', strokeWidth: 2, sort: 'size' }),
      Plot.dot(points, { x: 'size', y: 'time', fill: 'program', r: 3.5 }),
      Plot.text(apart(lastOf(points), HEIGHT), {
        x: 'size',
        y: 'place',
        text: 'name',
        fill: 'program',
        textAnchor: 'start',
        dx: 10,
      }),
    ],
  });
  const last = lastOf(points);
  return {
    title,
    caption: `The fastest contender of each program at the largest size. Vertical line: from the fastest round to the slowest. A straight line through zero is a cost in proportion to the size.`,
    description: last
      .map(({ program, time, size }) => `${PROGRAM_NAMES[program]} ${secondsText(time)} for ${size} GiB`)
      .join(', '),
    drawing,
  };
}

function lastOf(points: readonly Point[]): readonly Point[] {
  const size = Math.max(...points.map((point) => point.size));
  return points.filter((point) => point.size === size);
}

interface Label {
  readonly name: string;
  readonly program: BenchProgram;
  readonly size: number;
  /** Seconds, as the axis has them. */
  readonly place: number;
}

/** Gives labels places that do not overlap, from the lowest on. */
function apart(points: readonly Point[], height: number): readonly Label[] {
  const least = (Math.max(...points.map(({ slowest }) => slowest)) / height) * 22;
  let last = -Infinity;
  return points
    .toSorted((left, right) => left.time - right.time)
    .map(({ name, program, size, time }) => {
      last = Math.max(time, last + least);
      return { name, program, size, place: last };
    });
}
