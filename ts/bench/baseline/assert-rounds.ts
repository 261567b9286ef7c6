import { MappedRamError } from '../../errors.ts';
import type { BenchReport } from '../report.ts';
import { FEWEST_ROUNDS } from './match-figures.ts';

/**
 * Refuses, before anything is measured, a comparison that nothing could be decided by: of too few rounds in either run.
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE
 */
export function assertEnoughRounds(rounds: number, baseline: BenchReport): void {
  for (const [what, found] of [
    ['rounds of a run that is compared with a baseline', rounds],
    ['rounds of the baseline', baseline.settings.rounds],
  ] as const) {
    if (found >= FEWEST_ROUNDS) continue;
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', what, {
      expected: `${FEWEST_ROUNDS} or more`,
      found,
    });
  }
}
