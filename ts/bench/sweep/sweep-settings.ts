import { availableParallelism } from 'node:os';

import { defined } from '../../engine/engine-options.ts';
import type { BenchTransfer } from '../ours/job.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const CHANNELS = [1, 2, 4, 8];
/** Threads wait for their requests, so that even few processors can use so many; rings need as many processors. */
const MANY_CHANNELS = 16;
const DEPTHS = [4, 16, 64];
const SIZES = [256 * KIB, MIB, 4 * MIB];
/** The most bytes of buffers that a point may take: nobody would want more for a default. */
const MOST_BUFFERS = 256 * MIB;
const ENGINES = ['io_uring', 'threads'] as const;

/** One point of a sweep. Threads have one request in flight on each channel, and so no depth. */
export interface SweepSettings {
  readonly ioEngine: 'io_uring' | 'threads';
  readonly channels: number;
  readonly queueDepth?: number | undefined;
  readonly requestSize: number;
}

/**
 * The settings that a sweep tries beside the defaults: at most 52. What was given explicitly is not varied.
 * @param hasRing true where there is io_uring
 */
export function sweepSettings(
  given: BenchTransfer,
  hasRing: boolean,
  processors: number = availableParallelism(),
): readonly SweepSettings[] {
  const { channels, queueDepth, requestSize, ioEngine } = given;
  const engines = ENGINES.filter(
    (engine) =>
      (hasRing || engine !== 'io_uring') &&
      (ioEngine === undefined || ioEngine === 'auto' || engine === ioEngine),
  );
  return engines.flatMap((engine) =>
    orGiven(channels, channelsOf(engine, processors)).flatMap((count) =>
      orGiven(requestSize, SIZES).flatMap((size): readonly SweepSettings[] => {
        if (engine === 'threads') return [{ ioEngine: engine, channels: count, requestSize: size }];
        return orGiven(queueDepth, DEPTHS)
          .filter((depth) => isGivenWhole(given) || count * depth * size <= MOST_BUFFERS)
          .map((depth) => ({ ioEngine: engine, channels: count, queueDepth: depth, requestSize: size }));
      }),
    ),
  );
}

/** What was given and so is the same in every point of a sweep, by the options' names. */
export function fixedSettings(given: BenchTransfer): Readonly<Record<string, string | number>> {
  return Object.fromEntries(Object.entries(defined(given)).filter(([, value]) => value !== 'auto'));
}

function channelsOf(engine: SweepSettings['ioEngine'], processors: number): readonly number[] {
  return engine === 'threads' || processors >= MANY_CHANNELS ? [...CHANNELS, MANY_CHANNELS] : CHANNELS;
}

function orGiven(value: number | undefined, values: readonly number[]): readonly number[] {
  return value === undefined ? values : [value];
}

/** Buffers as large as a caller wants them are the caller's choice. */
function isGivenWhole({ channels, queueDepth, requestSize }: BenchTransfer): boolean {
  return channels !== undefined && queueDepth !== undefined && requestSize !== undefined;
}
