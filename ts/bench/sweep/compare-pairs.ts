import type { SweepComparison } from '../report.ts';
import { median } from '../summary.ts';

/** The share of false alarms that a comparison may give. */
const LEVEL = 0.05;
/** A difference that nobody would change a setting for. */
const LEAST = 0.01;

/**
 * Says whether the defaults are slower than other settings, from rounds in which the two alternated. The test is the
 * sign test of the rounds' pairs: were the two alike, each would win a round by tossing a coin. It asks nothing of how
 * times are spread, which is not known of a few rounds; eight rounds of which seven agree are enough.
 *
 * @param best milliseconds by round
 * @param defaults milliseconds of the same rounds
 */
export function comparePairs(best: readonly number[], defaults: readonly number[]): SweepComparison {
  const ratios = best.map((time, round) => (defaults[round] ?? Number.NaN) / time);
  const behind = median(ratios) - 1;
  const won = ratios.filter((ratio) => ratio > 1).length;
  const p = chanceOf(won, ratios.length);
  return { rounds: ratios.length, behind, isClear: p <= LEVEL && behind >= LEAST };
}

/** The probability that at least so many of all tosses of a coin are heads. */
function chanceOf(heads: number, all: number): number {
  let [ways, sum] = [1, 0];
  for (let count = 0; count <= all; count += 1) {
    if (count >= heads) sum += ways;
    ways = (ways * (all - count)) / (count + 1);
  }
  return sum / 2 ** all;
}
