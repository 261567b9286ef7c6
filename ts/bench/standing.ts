import type { BenchProgram } from './figures.ts';
import type { BenchResult, ContenderResult } from './report.ts';
import { RUNNING } from './baseline/moments.ts';
import { median } from './summary.ts';

/** How fast this package was in one kind of work, against one other program. */
export interface Standing {
  /** The contender of this package: the first one, which has the settings that were asked for. */
  readonly name: string;
  readonly program: BenchProgram;
  /** The contender of that program with the shortest median time. */
  readonly reference: string;
  /**
   * How many times as fast as the reference: the median of the rounds' ratios. A restore ends when the guest has touched
   * its working set.
   */
  readonly ratio: number;
  /** Median milliseconds until the guest runs, of a restore. They are no ratio: not every guest has its memory by then. */
  readonly running?: { readonly own: number; readonly reference: number } | undefined;
}

/** Compares this package with the best of each other program, round by round. */
export function standingsOf({ contenders }: BenchResult): readonly Standing[] {
  const own = contenders.find(({ isReference }) => !isReference);
  if (own === undefined) return [];
  const references = contenders.filter(({ isReference }) => isReference);
  return [...new Set(references.map(({ program }) => program))].flatMap((program) => {
    const best = fastest(references.filter((reference) => reference.program === program));
    const ratios = own.rounds.flatMap(({ milliseconds }, round) => {
      const other = best?.rounds[round]?.milliseconds;
      return other === undefined ? [] : [other / milliseconds];
    });
    if (best === undefined || ratios.length === 0) return [];
    const [ran, other] = [own, best].map(({ summary }) => summary.moments?.[RUNNING]?.median);
    const running = ran !== undefined && other !== undefined ? { own: ran, reference: other } : undefined;
    return [
      { name: own.name, program, reference: best.name, ratio: median(ratios), ...(running && { running }) },
    ];
  });
}

function fastest(contenders: readonly ContenderResult[]): ContenderResult | undefined {
  return contenders.toSorted(
    (left, right) => left.summary.milliseconds.median - right.summary.milliseconds.median,
  )[0];
}
