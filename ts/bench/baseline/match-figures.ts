import type { BenchReport, BenchResult, ContenderResult } from '../report.ts';
import type { FigureName, NotCompared } from './comparison.ts';
import { COMPARED_MOMENTS, referenceMoment } from './moments.ts';
import { commonReferences, timesOf, type Times } from './references.ts';

/** The fewest rounds of each run that a test can decide by: five against five have 252 splits. */
export const FEWEST_ROUNDS = 5;

/** The share of the processors that is left to a bench at least, however busy the machine is. */
const LEAST_LEFT = 0.1;

/** A contender of this package that both reports have, up to some moment, and the references that both have. */
export interface MatchedFigure extends FigureName {
  readonly referenceMoment?: string | undefined;
  readonly own: Times;
  readonly references: readonly Times[];
  /**
   * How much of a loss other programs explain that had more, or less, of the processors than before, as a difference of
   * logarithms.
   */
  readonly explained: number;
}

export interface MatchedReports {
  readonly figures: readonly MatchedFigure[];
  /** What only one of the reports has. */
  readonly notCompared: readonly NotCompared[];
  /** What both reports have, and nothing can judge. */
  readonly unjudged: readonly NotCompared[];
}

type Entry = MatchedFigure | NotCompared;

/** Finds the figures of this package in two reports that belong together. */
export function matchFigures(report: BenchReport, baseline: BenchReport): MatchedReports {
  const [now, before] = [byKey(report), byKey(baseline)];
  const processors = { now: report.machine.processors, before: baseline.machine.processors };
  const matched: Entry[] = [...now.values()].flatMap((result) => {
    const earlier = before.get(keyOf(result));
    if (earlier === undefined) return [];
    return matchContenders(result, earlier, explainedByOthers(result, earlier, processors));
  });
  return {
    figures: matched.filter((entry): entry is MatchedFigure => 'own' in entry),
    unjudged: matched.filter((entry): entry is NotCompared => 'reason' in entry),
    notCompared: [
      ...onlyIn(now, before, 'not in the baseline'),
      ...onlyIn(before, now, 'in the baseline, and not in this run'),
    ],
  };
}

/** The processors of two runs. */
interface Processors {
  readonly now: number;
  readonly before: number;
}

/**
 * The most that a figure can lose against its references when others take processors: all of what is left to a program
 * that computes on every processor, and nothing of one that waits for the disk.
 */
function explainedByOthers(now: BenchResult, before: BenchResult, processors: Processors): number {
  const [later, earlier] = [shareLeft(now, processors.now), shareLeft(before, processors.before)];
  // Where a run does not tell, nothing is explained.
  return later === undefined || earlier === undefined ? 0 : Math.abs(Math.log(earlier / later));
}

/** The share of its processors that others have left to a run; undefined where that is not known. */
function shareLeft({ otherProcessors }: BenchResult, processors: number): number | undefined {
  if (otherProcessors === undefined || !(processors > 0)) return undefined;
  return Math.max(1 - otherProcessors / processors, LEAST_LEFT);
}

function matchContenders(now: BenchResult, before: BenchResult, explained: number): readonly Entry[] {
  const earlier = new Map(before.contenders.map((contender) => [contender.name, contender]));
  return ours(now).flatMap((contender): readonly Entry[] => {
    const same = earlier.get(contender.name);
    if (same === undefined || same.isReference) return [];
    return [undefined, ...COMPARED_MOMENTS].flatMap((moment) => {
      const own = timesOf(contender, same, moment);
      if (own === undefined) return [];
      const name = { ...nameOf(now, contender), ...(moment !== undefined && { moment }) };
      const like = moment === undefined ? undefined : referenceMoment(contender, moment);
      const references = commonReferences(now, before, like);
      if (references.length === 0) return [{ ...name, reason: noReference(now, before) }];
      const reason = wrongRounds(own, references);
      const other = like !== moment && { referenceMoment: like };
      return [reason === undefined ? { ...name, ...other, own, references, explained } : { ...name, reason }];
    });
  });
}

function noReference(now: BenchResult, before: BenchResult): string {
  const [names, earlier] = [now, before].map(({ contenders }) =>
    contenders
      .filter(({ isReference }) => isReference)
      .map(({ name }) => name)
      .join(', '),
  );
  return `no reference with the same settings is in both: ${earlier || 'none'} before, ${names || 'none'} now`;
}

/** The rounds of contenders belong together by their index: contenders with other counts cannot be compared. */
function wrongRounds(own: Times, references: readonly Times[]): string | undefined {
  for (const [run, words] of [
    ['before', 'the baseline'],
    ['now', 'this run'],
  ] as const) {
    const rounds = own[run].length;
    if (rounds < FEWEST_ROUNDS)
      return `${words} has ${rounds} rounds, and a comparison needs ${FEWEST_ROUNDS}`;
    const other = references.find((reference) => reference[run].length !== rounds);
    if (other !== undefined)
      return `${words} has ${rounds} rounds of it, and ${other[run].length} of ${other.name}`;
  }
  return undefined;
}

type Results = ReadonlyMap<string, BenchResult>;

function onlyIn(these: Results, others: Results, reason: string): readonly NotCompared[] {
  return [...these.values()].flatMap((result) => {
    const other = others.get(keyOf(result));
    const names = new Set((other === undefined ? [] : ours(other)).map(({ name }) => name));
    const left = ours(result).filter(({ name }) => !names.has(name));
    return left.map((contender) => unmatched(result, contender, reason));
  });
}

function byKey({ results }: BenchReport): Results {
  return new Map(results.map((result) => [keyOf(result), result]));
}

function unmatched(result: BenchResult, contender: ContenderResult, reason: string): NotCompared {
  return { ...nameOf(result, contender), reason };
}

function keyOf({ size, work, memory, file }: BenchResult): string {
  return `${size} ${work} ${memory} ${file}`;
}

function ours({ contenders }: BenchResult): readonly ContenderResult[] {
  return contenders.filter(({ isReference }) => !isReference);
}

function nameOf({ size, work, memory, file }: BenchResult, { name }: ContenderResult): FigureName {
  return { size, work, memory, file, name };
}
