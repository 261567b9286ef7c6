import type { BenchProgram } from '../ts/bench/figures.ts';
import type { BenchReport, BenchResult } from '../ts/bench/report.ts';
import {
  type Chart,
  medianOf,
  PROGRAM_COLOURS,
  PROGRAM_NAMES,
  PROGRAMS,
  seconds,
  secondsText,
  titleOf,
} from './chart.ts';
import { drawLines, lastOf, type Point } from './lines.ts';

const GIB = 2 ** 30;

interface ProgramPoint extends Point {
  readonly line: BenchProgram;
}

/** Draws time against size, where there are several sizes of the same work, in one report or in several. */
export function growthCharts(reports: readonly BenchReport[], width: number): readonly Chart[] {
  const largest = reports.flatMap(({ results }) => results).toSorted((left, right) => right.size - left.size);
  const titles = new Set(largest.map((result) => titleOf(result)));
  return [...titles].flatMap((title) => {
    const results = largest.filter((result) => titleOf(result) === title);
    const points = PROGRAMS.flatMap((program) => pointsOf(program, results));
    return new Set(points.map(({ at }) => at)).size < 2 ? [] : [growthChart(title, points, width)];
  });
}

/** The points of the contender of a program that is fastest at the largest size. Sizes are in GiB. */
function pointsOf(program: BenchProgram, results: readonly BenchResult[]): readonly ProgramPoint[] {
  const best = results[0]?.contenders
    .filter((contender) => contender.program === program)
    .toSorted((left, right) => medianOf(left) - medianOf(right))[0]?.name;
  return results.flatMap(({ size, contenders }) =>
    contenders
      .filter(({ name }) => name === best)
      .map(({ name, summary: { milliseconds } }) => ({
        line: program,
        name,
        at: size / GIB,
        time: seconds(milliseconds.median),
        fastest: seconds(milliseconds.min),
        slowest: seconds(milliseconds.max),
      })),
  );
}

function growthChart(title: string, points: readonly ProgramPoint[], width: number): Chart {
  const colours = { domain: PROGRAMS, range: PROGRAM_COLOURS };
  return {
    title,
    caption: `The fastest contender of each program at the largest size. Vertical line: from the fastest round to the slowest. A straight line through zero is a cost in proportion to the size.`,
    description: lastOf(points)
      .map(({ line, time, at }) => `${PROGRAM_NAMES[line]} ${secondsText(time)} for ${at} GiB`)
      .join(', '),
    drawing: drawLines(points, { label: 'GiB of guest memory' }, colours, width),
  };
}
