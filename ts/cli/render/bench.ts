import type { BaselineComparison } from '../../bench/baseline/comparison.ts';
import type { BenchReport } from '../../bench/report.ts';
import { table } from './columns.ts';
import { formatDuration } from './format.ts';
import type { Style } from './style.ts';

/** Shows a report to people. */
export function benchLines(report: BenchReport, style: Style): readonly string[] {
  return report.results.flatMap(({ work, memory, file, contenders }) => [
    style('bold', `${work}, ${memory}, ${file}`),
    ...table(
      [{ title: 'what' }, { title: 'time', align: 'right' }],
      contenders.map(({ name, summary }) => [name, formatDuration(summary.milliseconds.median)]),
      style,
    ),
  ]);
}

/** Shows a comparison with a baseline to people. */
export function baselineLines(comparison: BaselineComparison, style: Style): readonly string[] {
  return [style(comparison.verdict === 'fine' ? 'green' : 'red', comparison.verdict)];
}
