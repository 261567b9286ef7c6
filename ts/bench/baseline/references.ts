import type { BenchResult, ContenderResult } from '../report.ts';
import { median } from '../summary.ts';
import { timesTo } from './moments.ts';

/** The same contender in two runs: logarithms of its milliseconds, one per round. */
export interface Times {
  readonly name: string;
  readonly program: string;
  readonly before: readonly number[];
  readonly now: readonly number[];
}

/**
 * Finds the references that both runs had. A reference that was told something else is another one.
 * @param moment of the references; undefined for the end of their work
 */
export function commonReferences(
  now: BenchResult,
  before: BenchResult,
  moment: string | undefined,
): readonly Times[] {
  const earlier = new Map(before.contenders.map((contender) => [contender.name, contender]));
  return now.contenders.flatMap((contender) => {
    const same = earlier.get(contender.name);
    const times =
      same !== undefined && isSameReference(contender, same) ? timesOf(contender, same, moment) : undefined;
    return times === undefined ? [] : [times];
  });
}

/** The times of a contender to a moment of its work; undefined unless all of its rounds have it. */
export function timesOf(
  now: ContenderResult,
  before: ContenderResult,
  moment: string | undefined,
): Times | undefined {
  const { name, program } = now;
  const [times, earlier] = [timesTo(now, moment), timesTo(before, moment)];
  if (times === undefined || earlier === undefined) return undefined;
  return { name, program, before: logarithms(earlier), now: logarithms(times) };
}

/**
 * Makes one reference out of several, round by round: how far the references were from their usual time in this round.
 * The median over the references of a program, then over the programs, is that of the round: a disturbance that hits one
 * program alone does not count, and one program with many settings has one voice. The usual times are those of both runs
 * together, so that a reference that changed between the runs stays changed.
 */
export function combined(references: readonly Times[]): Times {
  const programs = byProgram(references).map((ofProgram) => merged(ofProgram));
  return { ...merged(programs), name: references.map(({ name }) => name).join(', ') };
}

/** The references of each program as one. */
export function byProgram(references: readonly Times[]): readonly (readonly Times[])[] {
  const programs = new Set(references.map(({ program }) => program));
  return [...programs].map((program) => references.filter((reference) => reference.program === program));
}

/** Makes one reference of several with the median of how far each is from its usual time, and the mean usual time. */
export function merged(references: readonly Times[]): Times {
  const [first, ...others] = references;
  if (first === undefined || others.length === 0) {
    return first ?? { name: 'none', program: 'none', before: [], now: [] };
  }
  const usual = references.map((reference) => usualOf(reference));
  const mean = usual.reduce((total, time) => total + time, 0) / usual.length;
  const inRound = (run: 'before' | 'now'): readonly number[] =>
    first[run].map((_, round) => {
      const distances = references.map((times, index) => (times[run][round] ?? NaN) - (usual[index] ?? NaN));
      return median(distances) + mean;
    });
  return { name: first.program, program: first.program, before: inRound('before'), now: inRound('now') };
}

/** Each run has the same weight, however many rounds it had. */
function usualOf({ before, now }: Times): number {
  return (median(before) + median(now)) / 2;
}

function isSameReference(now: ContenderResult, before: ContenderResult): boolean {
  return (
    now.isReference &&
    before.isReference &&
    now.program === before.program &&
    settingsText(now) === settingsText(before)
  );
}

function settingsText({ settings }: ContenderResult): string {
  return JSON.stringify(Object.entries(settings).toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

function logarithms(times: readonly number[]): readonly number[] {
  return times.map((milliseconds) => Math.log(milliseconds));
}
