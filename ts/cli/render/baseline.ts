import {
  type BaselineComparison,
  type ComparedFigure,
  figureInWords,
  type FigureName,
} from '../../bench/baseline/comparison.ts';
import { printable } from './format.ts';
import type { Style } from './style.ts';

/** The most entries of each list; --json has all of them. */
const MOST = 20;

/** The share from which on it is told what other programs explain. */
const LEAST_TOLD = 0.02;

/** Shows a comparison with a baseline to people: the figures that fell first. */
export function baselineLines(comparison: BaselineComparison, style: Style): readonly string[] {
  const { figures, notCompared, differences, baselineStartedAt } = comparison;
  const worse = figures.filter(({ verdict }) => verdict === 'worse');
  const fine = figures.filter(({ verdict }) => verdict === 'fine');
  return [
    `${style('bold', 'Against the baseline')} of ${printable(baselineStartedAt)}: ${verdictWords(comparison, style)}`,
    ...worse.map((figure) => `${style('red', 'WORSE')}  ${figureWords(figure, comparison)}`),
    ...fine
      .slice(0, MOST)
      .map((figure) => `${fineWord(figure, comparison, style)} ${figureWords(figure, comparison)}`),
    ...rest(fine.length),
    ...notCompared
      .slice(0, MOST)
      .map(
        (figure) =>
          `${style('yellow', 'not compared')}  ${nameWords(figure, comparison)}: ${printable(figure.reason)}`,
      ),
    ...rest(notCompared.length),
    ...differences.map((words) => `${style('yellow', 'other conditions')}  ${printable(words)}`),
  ];
}

function verdictWords({ verdict, figures, maxRegression }: BaselineComparison, style: Style): string {
  const worse = figures.filter((figure) => figure.verdict === 'worse').length;
  if (verdict === 'fine') {
    return `${style('green', 'fine')}, none of ${figures.length} figures fell by more than ${percent(maxRegression)} for certain`;
  }
  return `${style('red', 'WORSE')}, ${worse} of ${figures.length} figures fell by more than ${percent(maxRegression)}`;
}

/** A loss beyond the limit that noise can explain is no regression, and no good news either. */
function fineWord({ change }: ComparedFigure, { maxRegression }: BaselineComparison, style: Style): string {
  return change < -maxRegression ? style('yellow', 'noise?') : `${style('green', 'fine')}  `;
}

/** Tells one figure: `load random cold, threads: 1.31 × the references before, 0.98 now: 25 % slower (limit 10 %; p 0.004)`. */
function figureWords(figure: ComparedFigure, comparison: BaselineComparison): string {
  const { maxRegression } = comparison;
  const {
    ratioBefore,
    ratioNow,
    change,
    p,
    explained,
    references,
    moment,
    referenceMoment = moment,
  } = figure;
  const [only, ...more] = references;
  const names = only !== undefined && more.length === 0 ? printable(only.name) : 'the references';
  const against =
    referenceMoment === moment ? names : `${names} to ${printable(referenceMoment ?? 'the end')}`;
  const busy = explained < LEAST_TOLD ? '' : ` and ${percent(explained)} that other programs explain`;
  const chance = p < 1 ? `; p ${p < 0.001 ? '< 0.001' : p.toFixed(3)}` : '';
  const each = more.length === 0 || figure.verdict === 'fine' ? '' : `; alone ${eachWords(figure)}`;
  return `${nameWords(figure, comparison)}: ${ratioBefore.toFixed(2)} × ${against} before, ${ratioNow.toFixed(2)} now: ${changeWords(change)} (limit ${percent(maxRegression)}${busy}${chance})${each}`;
}

function eachWords({ references }: ComparedFigure): string {
  return references
    .map(
      ({ name, ratioBefore, ratioNow }) =>
        `${printable(name)} ${ratioBefore.toFixed(2)} → ${ratioNow.toFixed(2)}`,
    )
    .join(', ');
}

/** The only size would tell nothing. */
function nameWords(figure: FigureName, { figures, notCompared }: BaselineComparison): string {
  const sizes = new Set([...figures, ...notCompared].map(({ size }) => size));
  return printable(figureInWords(figure, sizes.size > 1));
}

function changeWords(change: number): string {
  const share = Math.round(Math.abs(change) * 100);
  if (share === 0) return 'the same';
  return `${share} % ${change < 0 ? 'slower' : 'faster'}`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`;
}

function rest(count: number): readonly string[] {
  return count > MOST ? [`and ${count - MOST} more; --json has all of them`] : [];
}
