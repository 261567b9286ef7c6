import type { BenchWork, FileState, MemoryPattern } from '../figures.ts';
import { sizeInWords } from '../report-words.ts';

/** How a report compares with an earlier one. */
export interface BaselineComparison {
  /** `worse` when at least one figure is. */
  readonly verdict: 'fine' | 'worse';
  /** The loss of speed that is let pass, as a share: 0.1 is 10 %. */
  readonly maxRegression: number;
  /** The chance of the verdict `worse` if every figure had lost exactly `maxRegression`; an unchanged build has a smaller one. */
  readonly level: number;
  /** The moment at which the baseline was measured, ISO 8601. */
  readonly baselineStartedAt: string;
  /** One per contender of this package that both reports have, and for a restore one more per contender, for the moment at which the guest runs. The one that lost most comes first. */
  readonly figures: readonly ComparedFigure[];
  /** What could not be judged, and why. */
  readonly notCompared: readonly NotCompared[];
  /** Where the two reports were made under other conditions: machine, directory, settings, in words. */
  readonly differences: readonly string[];
}

/** What a figure is about. */
export interface FigureName {
  /** Bytes of guest memory. */
  readonly size: number;
  readonly work: BenchWork;
  readonly memory: MemoryPattern;
  readonly file: FileState;
  /** The contender's name. */
  readonly name: string;
  /**
   * The moment that is judged: `running`, of a restore. Undefined for the end of the work, which is for a restore that the
   * guest has touched its working set.
   */
  readonly moment?: string | undefined;
}

export interface ComparedFigure extends FigureName {
  /** The moment of the references that `moment` is divided by, where that is another one. */
  readonly referenceMoment?: string | undefined;
  /** Speed relative to that of the references in the same rounds: 1.3 is 1.3 times as fast as they. */
  readonly ratioBefore: number;
  readonly ratioNow: number;
  /** The change of that ratio as a share: -0.25 is 25 % slower than before. */
  readonly change: number;
  /** The chance of a loss like this, or a greater one, of a build that lost exactly `maxRegression`; corrected for the number of figures. 1 when the loss is not suspect. */
  readonly p: number;
  /**
   * The loss that other programs explain, as a share, beside the one that is let pass: they had more, or less, of the
   * processors than in the run before. 0 where a report does not tell.
   */
  readonly explained: number;
  readonly verdict: 'fine' | 'worse';
  /** The same against each reference alone. */
  readonly references: readonly ReferenceChange[];
}

export interface ReferenceChange {
  readonly name: string;
  readonly ratioBefore: number;
  readonly ratioNow: number;
  readonly change: number;
}

export interface NotCompared extends FigureName {
  readonly reason: string;
}

/** Tells what a figure is about: `load random cold, 2 GiB, mapped-ram`. @param hasSize false where all have one size */
export function figureInWords(
  { size, work, memory, file, name, moment }: FigureName,
  hasSize = true,
): string {
  const parts = [`${work} ${memory} ${file}`, ...(hasSize ? [sizeInWords(size)] : []), name];
  return parts.join(', ') + (moment === undefined ? '' : ` to ${moment}`);
}
