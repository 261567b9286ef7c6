import { splitsOf } from './splits.ts';

/** One figure in two runs: logarithms of speeds, one per round. */
export interface TwoRuns {
  readonly before: readonly number[];
  readonly now: readonly number[];
  /** False for a figure whose rounds are evidence about noise, but that is not to be judged. */
  readonly isSuspect: boolean;
  /** The loss that is let pass, as a difference of logarithms. */
  readonly margin: number;
}

/**
 * The loss of speed between two runs, as a difference of logarithms, after Hodges and Lehmann: the median of the
 * differences of all pairs of rounds. One wild round of five moves it little.
 */
export function lossBetween(before: readonly number[], now: readonly number[]): number {
  const differences = before.flatMap((earlier) => now.map((later) => earlier - later));
  return middleOf(differences);
}

/**
 * Tests for each suspect whether its loss is greater than its margin: a permutation test. The statistic is the loss beyond
 * the margin over the noise of the figure's own rounds. Its distribution comes from two sorts of splits into two runs:
 * all splits of the figure's own rounds, which makes the test exact where it stands alone, and all splits of the other
 * figures' rounds, with their own losses taken out. Five rounds against five have only 252 splits, so that a figure alone
 * could never give evidence against twenty comparisons; with the noise of all twenty there are 5040.
 *
 * @returns a p-value for each figure, corrected for the number of figures (Bonferroni); 1 for those that are no suspects
 */
export function shiftTest(figures: readonly TwoRuns[]): readonly number[] {
  if (!figures.some(({ isSuspect }) => isSuspect)) return figures.map(() => 1);
  const common = middleOf(figures.map(({ before, now }) => noiseOf(before, now)));
  const others = figures.map((figure) => statisticsOfNoise(figure, common));
  const all = sum(others.map(({ length }) => length));
  return figures.map(({ before, now, isSuspect, margin }, self) => {
    if (!isSuspect) return 1;
    const own = statistics(before, now, margin, common);
    // The first split is the one that was measured. Equal statistics can differ in their last bits.
    const measured = (own[0] ?? 0) - 1e-9;
    const extreme = others.map((values, index) => atLeast(index === self ? own : values, measured));
    return Math.min(1, (figures.length * sum(extreme)) / all);
  });
}

/** The statistic for each split of a figure whose own loss was taken out. That took out some noise, too: it is put back. */
function statisticsOfNoise({ before, now }: TwoRuns, commonNoise: number): readonly number[] {
  const rounds = Math.min(before.length, now.length);
  const lost = Math.sqrt(rounds / (rounds - 1));
  return statistics(before, now, lossBetween(before, now), commonNoise).map((value) => value * lost);
}

/** The statistic for each split of the rounds of two runs, when the loss between them is `loss`; that of the runs as they are comes first. */
function statistics(
  before: readonly number[],
  now: readonly number[],
  loss: number,
  commonNoise: number,
): readonly number[] {
  const rounds = [...before, ...now.map((speed) => speed + loss)];
  return splitsOf(rounds.length, before.length).map((isBefore) => {
    const left = rounds.filter((_, index) => isBefore[index] === true);
    const right = rounds.filter((_, index) => isBefore[index] !== true);
    // A figure whose rounds agree by chance is not that certain: half of the noise is that of the whole report.
    const noise = Math.hypot(noiseOf(left, right), commonNoise);
    const shift = lossBetween(left, right);
    return shift === 0 ? 0 : shift / noise;
  });
}

/** The mean distance of rounds from the median of their run. */
function noiseOf(before: readonly number[], now: readonly number[]): number {
  const distances = [before, now].flatMap((run) => {
    const usual = middleOf(run);
    return run.map((speed) => Math.abs(speed - usual));
  });
  return sum(distances) / distances.length;
}

function atLeast(values: readonly number[], limit: number): number {
  return values.filter((value) => value >= limit).length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The same as `median`, for the thousands of medians that a test takes. */
function middleOf(values: readonly number[]): number {
  const sorted = Float64Array.from(values).toSorted();
  const [low = NaN, high = NaN] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return (low + high) / 2;
}
