import * as Plot from '@observablehq/plot';

import { RUNNING } from '../ts/bench/baseline/moments.ts';
import type { BenchReport, BenchResult, ContenderResult } from '../ts/bench/report.ts';
import {
  type Chart,
  CHART_STYLE,
  medianOf,
  PROGRAM_COLOURS,
  PROGRAMS,
  seconds,
  secondsText,
  sizeText,
  titleOf,
} from './chart.ts';

const BAR = 30;
/** Pixels per character of a label, generously. */
const CHARACTER = 7.5;

/** Draws one chart of bars per kind of work, memory and state of the file: the time of each contender. */
export function timeCharts(reports: readonly BenchReport[], width: number): readonly Chart[] {
  const results = reports.flatMap((report) => report.results);
  const hasSizes = reports.length > 1 || new Set(results.map(({ size }) => size)).size > 1;
  return results
    .filter(({ contenders }) => contenders.length > 0)
    .map((result) => timeChart(result, width, hasSizes));
}

function timeChart(result: BenchResult, width: number, saysSize: boolean): Chart {
  const contenders = result.contenders.toSorted((left, right) => medianOf(left) - medianOf(right));
  const names = contenders.map(({ name }) => name);
  const rounds = contenders.flatMap(({ name, rounds: all }) =>
    all.map(({ milliseconds }) => ({ name, time: seconds(milliseconds) })),
  );
  const slowest = Math.max(...contenders.map(({ summary }) => seconds(summary.milliseconds.max)));
  const running = contenders.flatMap(({ name, summary }) => {
    const moment = summary.moments?.[RUNNING];
    return moment === undefined ? [] : [{ name, time: seconds(moment.median) }];
  });
  const work =
    running.length > 0 ? ', until the guest has touched its working set. Stroke across: the guest runs' : '';
  const drawing = Plot.plot({
    width,
    height: names.length * BAR + 64,
    marginBottom: 42,
    marginLeft: Math.max(...names.map(({ length }) => length)) * CHARACTER + 24,
    marginRight: 20,
    style: CHART_STYLE,
    x: { domain: [0, slowest], nice: true, grid: true, label: 'seconds', labelAnchor: 'center' },
    y: { domain: names, label: null, tickSize: 0 },
    color: { domain: [...PROGRAMS], range: [...PROGRAM_COLOURS] },
    marks: [
      Plot.barX(contenders, { x: medianOf, y: 'name', fill: 'program', insetTop: 3, insetBottom: 3, rx2: 2 }),
      Plot.ruleY(contenders, {
        x1: ({ summary }: ContenderResult) => seconds(summary.milliseconds.min),
        x2: ({ summary }: ContenderResult) => seconds(summary.milliseconds.max),
        y: 'name',
        stroke: 'var(--ink)',
        strokeWidth: 1.5,
      }),
      Plot.tickX(running, { x: 'time', y: 'name', stroke: 'var(--ink)', strokeWidth: 2.5 }),
      Plot.dot(rounds, { x: 'time', y: 'name', r: 2.5, fill: 'var(--ink)', fillOpacity: 0.7 }),
      Plot.ruleX([0]),
    ],
  });
  const size = saysSize ? `, ${sizeText(result.size)}` : '';
  return {
    title: titleOf(result) + size,
    caption: `Bar: the median of ${contenders[0]?.rounds.length ?? 0} rounds${work}. Line: from the fastest round to the slowest; a dot is a round. Shorter is better.`,
    description: contenders
      .map((contender) => `${contender.name} ${secondsText(medianOf(contender))}`)
      .join(', '),
    drawing,
  };
}
