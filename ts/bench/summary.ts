import type { RoundFigures } from './figures.ts';
import type { FiguresSummary, Spread } from './report.ts';

const GIB = 2 ** 30;

/**
 * Makes medians of the rounds of one contender. A figure that no round has is left out; the median of a figure that some
 * rounds have is that of these rounds.
 * @param hasRate false for work that need not move all of the memory: bytes per second would mean nothing
 * @throws {RangeError} without rounds
 */
export function summarize(rounds: readonly RoundFigures[], hasRate = true): FiguresSummary {
  const milliseconds = spread(rounds.map((round) => round.milliseconds));
  const bytes = median(rounds.map((round) => round.bytes));
  return {
    milliseconds,
    ...withoutUnknown({
      gigabytesPerSecond: hasRate ? bytes / 1e6 / milliseconds.median : undefined,
      cpuSecondsPerGiB: perGiB(rounds, ({ cpuMs }) => (cpuMs === undefined ? undefined : cpuMs / 1000)),
      peakBytes: known(rounds, ({ peakBytes }) => peakBytes),
      idleBytes: known(rounds, ({ idleBytes }) => idleBytes),
      pageCacheBytes: known(rounds, ({ pageCacheBytes }) => pageCacheBytes),
      syscallsPerGiB: perGiB(rounds, ({ syscalls }) => syscalls),
      requestsPerGiB: perGiB(rounds, ({ requests }) => requests),
      moments: moments(rounds),
    }),
  };
}

/** Peak memory beyond that of a process that does nothing, in bytes; undefined where one of the two is not known. */
export function bytesOverIdle({
  peakBytes,
  idleBytes,
}: Pick<FiguresSummary, 'peakBytes' | 'idleBytes'>): number | undefined {
  return peakBytes === undefined || idleBytes === undefined ? undefined : peakBytes - idleBytes;
}

/** Returns the median, and the extremes. @throws {RangeError} without values */
export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Returns the middle value, or the mean of the two in the middle. @throws {RangeError} without values */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new RangeError('there is no median of no values');
  return (low + high) / 2;
}

type Figure = (round: RoundFigures) => number | undefined;

function known(rounds: readonly RoundFigures[], figure: Figure): number | undefined {
  const values = rounds.map((round) => figure(round)).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : median(values);
}

function perGiB(rounds: readonly RoundFigures[], figure: Figure): number | undefined {
  return known(rounds, (round) => {
    const value = figure(round);
    return value === undefined ? undefined : value / (round.bytes / GIB);
  });
}

function moments(rounds: readonly RoundFigures[]): Readonly<Record<string, Spread>> | undefined {
  const names = new Set(rounds.flatMap((round) => Object.keys(round.moments ?? {})));
  if (names.size === 0) return undefined;
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      spread(rounds.map((round) => round.moments?.[name]).filter((value) => value !== undefined)),
    ]),
  );
}

function withoutUnknown(figures: Partial<FiguresSummary>): Partial<FiguresSummary> {
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined));
}
