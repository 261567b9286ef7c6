import type { ContenderResult } from '../report.ts';

/**
 * The moment of a restore at which a guest runs. A guest whose memory is mapped runs before that is read, so that this
 * moment is no time of loading.
 */
export const RUNNING = 'running';
/** The moment of a restore at which a new QEMU answers, and has read nothing. */
export const STARTED = 'started';

/** The setting of a contender that says whether its guest's memory is mapped out of the snapshot. */
export const MAPS_SNAPSHOT = 'mapsSnapshot';

/** Moments of this package's contenders that are figures of their own, beside the end of the work. */
export const COMPARED_MOMENTS: readonly string[] = [RUNNING];

/**
 * The moment of a reference that a contender's moment is divided by. QEMU's own guest runs when all of its memory is
 * there: the disk's speed is in that time, and hardly in the time of a guest whose memory is mapped. To start is what
 * both do.
 */
export function referenceMoment({ settings }: Pick<ContenderResult, 'settings'>, moment: string): string {
  return moment === RUNNING && settings[MAPS_SNAPSHOT] === true ? STARTED : moment;
}

/** Milliseconds of each round to a moment; without one, to the end of the work. Undefined unless every round has it. */
export function timesTo(
  { rounds }: Pick<ContenderResult, 'rounds'>,
  moment: string | undefined,
): readonly number[] | undefined {
  const times = rounds.map((round) => (moment === undefined ? round.milliseconds : round.moments?.[moment]));
  return times.every((time) => time !== undefined) ? times : undefined;
}
