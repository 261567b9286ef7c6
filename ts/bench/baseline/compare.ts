import { MappedRamError } from '../../errors.ts';
import { assertOptions } from '../../io/assert-options.ts';
import { inWords } from '../../io/in-words.ts';
import type { BenchReport } from '../report.ts';
import { median } from '../summary.ts';
import { checkedReport } from './check-report.ts';
import {
  type BaselineComparison,
  type ComparedFigure,
  figureInWords,
  type ReferenceChange,
} from './comparison.ts';
import { conditionsThatDiffer } from './conditions.ts';
import { matchFigures, type MatchedFigure } from './match-figures.ts';
import { byProgram, combined, merged, type Times } from './references.ts';
import { lossBetween, shiftTest } from './shift-test.ts';

/** The chance that a report counts as worse if every figure had lost exactly what is let pass: all figures together. */
export const LEVEL = 0.05;
const USUAL_REGRESSION = 0.1;

export interface CompareOptions {
  /** The loss of speed that is let pass, as a share, from 0 to below 1. @default 0.1, which is 10 % */
  readonly maxRegression?: number | undefined;
}

/**
 * Compares a report with an earlier one, by ratios to the references of each run: never by times. docs/bench.md says
 * which test decides, and why. Each run needs at least 5 rounds.
 *
 * @param report of the run that is judged
 * @param baseline of the run before; `readBaseline` reads one from a file
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for `maxRegression`; ERR_MAPPED_RAM_CORRUPT or
 * ERR_MAPPED_RAM_UNSUPPORTED_VERSION when one of the two is no report, naming the member that is wrong;
 * ERR_MAPPED_RAM_INVALID_ARGUMENT for `options`, and when no figure is worse and a figure of both reports cannot be
 * judged, or no figure can
 */
export function compareWithBaseline(
  report: BenchReport,
  baseline: BenchReport,
  options: CompareOptions = {},
): BaselineComparison {
  assertOptions(options);
  const { maxRegression = USUAL_REGRESSION } = options;
  assertShare(maxRegression);
  const now = checkedReport(report, { name: 'the report' });
  const before = checkedReport(baseline, { name: 'the baseline' });
  const { figures: matched, notCompared, unjudged } = matchFigures(now, before);
  const margin = -Math.log(1 - maxRegression);
  const losses = matched.map((figure) => lossOf(figure));
  const runs = losses.map(({ before: earlier, now: later, loss, unrest, explained }) => ({
    before: earlier,
    now: later,
    isSuspect: loss > margin + Math.max(unrest, explained),
    margin: margin + explained,
  }));
  const chances = shiftTest(runs);
  const figures = matched.map((figure, index) => compared(figure, chances[index] ?? 1));
  const verdict = figures.some((figure) => figure.verdict === 'worse') ? 'worse' : 'fine';
  if (verdict === 'fine' && (figures.length === 0 || unjudged.length > 0)) throw cannotJudge(unjudged);
  return {
    verdict,
    maxRegression,
    level: LEVEL,
    baselineStartedAt: before.startedAt,
    figures: figures.toSorted((left, right) => left.change - right.change),
    notCompared: [...unjudged, ...notCompared],
    differences: conditionsThatDiffer(now, before),
  };
}

function compared(figure: MatchedFigure, p: number): ComparedFigure {
  const { own, references, explained, ...name } = figure;
  const { ratioBefore, ratioNow, change } = changeAgainst(combined(references), own);
  return {
    ...name,
    ratioBefore,
    ratioNow,
    change,
    p,
    explained: 1 - Math.exp(-explained),
    verdict: p <= LEVEL ? 'worse' : 'fine',
    references: references.map((reference) => changeAgainst(reference, own)),
  };
}

interface Loss {
  /** Logarithms of speeds relative to the references, one per round. */
  readonly before: readonly number[];
  readonly now: readonly number[];
  readonly loss: number;
  /**
   * How far the programs of the references moved apart between the runs: half of the distance between those that gained
   * most and lost most. None of them changed, so that this is how much other conditions can move a ratio.
   */
  readonly unrest: number;
  readonly explained: number;
}

function lossOf({ own, references, explained }: MatchedFigure): Loss {
  const { before, now } = speedsAgainst(combined(references), own);
  const moves = byProgram(references).map((ofProgram) => {
    const speeds = speedsAgainst(merged(ofProgram), own);
    return lossBetween(speeds.before, speeds.now);
  });
  const unrest = (Math.max(...moves) - Math.min(...moves)) / 2;
  return { before, now, loss: lossBetween(before, now), unrest, explained };
}

/** Speeds relative to a reference in the same round, as logarithms. */
function speedsAgainst(reference: Times, own: Times): Pick<Loss, 'before' | 'now'> {
  const inRun = (run: 'before' | 'now'): readonly number[] =>
    own[run].map((time, round) => (reference[run][round] ?? NaN) - time);
  return { before: inRun('before'), now: inRun('now') };
}

function changeAgainst(reference: Times, own: Times): ReferenceChange {
  const { before, now } = speedsAgainst(reference, own);
  return {
    name: reference.name,
    ratioBefore: Math.exp(median(before)),
    ratioNow: Math.exp(median(now)),
    change: Math.exp(-lossBetween(before, now)) - 1,
  };
}

function assertShare(maxRegression: unknown): void {
  if (typeof maxRegression === 'number' && maxRegression >= 0 && maxRegression < 1) return;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'maxRegression', {
    expected: 'a share from 0 to below 1, like 0.1 for 10 %',
    found: typeof maxRegression === 'number' ? maxRegression : inWords(maxRegression),
  });
}

function cannotJudge(unjudged: BaselineComparison['notCompared']): MappedRamError {
  const [first] = unjudged;
  const words =
    first === undefined
      ? 'the baseline has no figure of this package that this run has'
      : `${figureInWords(first)}: ${first.reason}`;
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the baseline cannot judge this run: ${words}`,
    {
      expected:
        'a baseline with the same sizes and kinds of work, memory and file, and with references in common',
    },
  );
}
