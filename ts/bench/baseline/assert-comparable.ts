import { MappedRamError } from '../../errors.ts';
import { type BenchOptions, checkedBenchOptions, plannedResults } from '../bench-options.ts';
import { whyNoFio } from '../others/find-fio.ts';
import type { BenchResult, BenchReport } from '../report.ts';
import { sizeInWords, sizesInWords } from '../report-words.ts';
import { FEWEST_ROUNDS } from './match-figures.ts';

/**
 * Refuses, before anything is measured, a run that the baseline cannot judge whatever comes out.
 * @param options those of the run; its directory exists
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for too few rounds in either run; ERR_MAPPED_RAM_INVALID_ARGUMENT
 * for a baseline of other sizes or of other work, for an option, or where no reference of the baseline is here
 */
export async function assertComparable(options: BenchOptions, baseline: BenchReport): Promise<void> {
  const { rounds, directory, ...planned } = checkedBenchOptions(options);
  assertEnoughRounds(rounds, baseline);
  const { sizes } = baseline.settings;
  if (!planned.sizes.some((size) => sizes.includes(size))) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'the baseline was measured with another size of memory',
      { expected: sizesInWords(sizes), found: sizesInWords(planned.sizes) },
    );
  }
  const names = new Set(plannedResults(planned).map((result) => nameOf(result)));
  const common = baseline.results.filter((result) => names.has(nameOf(result)));
  if (common.length === 0) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'the baseline has no work that this run measures',
      {
        expected: `some of: ${baseline.results.map((result) => nameOf(result)).join('; ') || 'nothing'}`,
        found: [...names].join('; '),
      },
    );
  }
  for (const result of common) await assertReference(result, directory, planned.signal);
}

/** Without QEMU there is no restore at all, and the copy is always there: that leaves fio. */
async function assertReference(result: BenchResult, directory: string, signal: AbortSignal): Promise<void> {
  const programs = new Set(
    result.contenders.filter(({ isReference }) => isReference).map(({ program }) => program),
  );
  const needsFio = programs.size === 1 && programs.has('fio');
  const why = needsFio ? await whyNoFio(directory, signal) : undefined;
  if (programs.size > 0 && why === undefined) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the baseline cannot judge this run: ${nameOf(result)}: ${why ?? 'the baseline has no reference'}`,
    { expected: 'a reference that both runs have, or other kinds of work' },
  );
}

function assertEnoughRounds(rounds: number, baseline: BenchReport): void {
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

function nameOf({ size, work, memory, file }: Omit<BenchResult, 'contenders'>): string {
  return `${work} ${memory} ${file}, ${sizeInWords(size)}`;
}
