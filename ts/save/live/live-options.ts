import { MappedRamError } from '../../errors.ts';
import type { SavePlan } from '../../negotiate/plan.ts';
import type { SaveRequest } from '../../negotiate/request.ts';

/** What becomes of a live save that QEMU does not get done within its bounds: see {@link LiveOptions}. */
export type WhenNotConverging = (typeof WHEN_NOT_CONVERGING)[number];
export const WHEN_NOT_CONVERGING = ['stop', 'abandon'] as const;

/** Bounds of a live save. They mean nothing where `live: 'auto'` takes none. */
export interface LiveOptions {
  /**
   * Passes over the memory during which the guest may run: at least 1. The first writes all of the memory, each other
   * what the guest has changed during the one before. @default 20
   */
  readonly maxPasses?: number | undefined;
  /** Milliseconds for which the guest may run while QEMU writes. @default no limit */
  readonly maxLiveMs?: number | undefined;
  /**
   * At a bound, `stop` stops the guest, so that QEMU writes the rest at once, however long that takes; `abandon` gives
   * the save up (ERR_MAPPED_RAM_TIMEOUT), and the guest runs on. @default 'stop'
   */
  readonly whenNotConverging?: WhenNotConverging | undefined;
}

/** The state of a live save under way. */
export interface LiveProgress {
  /** The present pass over the memory, from 1; 0 before the first. */
  readonly pass: number;
  /** Pages that the guest changes in a second; undefined until QEMU has measured it, which takes a second. */
  readonly dirtyPagesPerSecond: number | undefined;
  /** Bytes that were still to be written when QEMU was last asked; undefined before. */
  readonly remainingBytes: number | undefined;
}

/** The account of a live save. */
export interface LiveReport {
  /** Passes over the memory, the last one included, during which the guest stood still. */
  readonly passes: number;
  /**
   * Pages that the guest changed in a second before it was stopped; undefined when QEMU had not measured it, which takes
   * a second.
   */
  readonly dirtyPagesPerSecond: number | undefined;
  /** True when QEMU stopped the guest, because the rest was small; false when the save did, at one of its bounds. */
  readonly converged: boolean;
}

/** The limits of a live save, complete. */
export interface LiveLimits {
  readonly maxPasses: number;
  readonly maxLiveMs: number | undefined;
  readonly whenNotConverging: WhenNotConverging;
}

const MAX_PASSES = 20;
/** The longest time in milliseconds that a timer of Node can wait. */
const MOST_MS = 2 ** 31 - 1;

/**
 * Completes the bounds of a live save, and checks them.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a bound that is none
 */
export function liveLimits({
  maxPasses = MAX_PASSES,
  maxLiveMs,
  whenNotConverging = 'stop',
}: LiveOptions): LiveLimits {
  if (!Number.isSafeInteger(maxPasses) || maxPasses < 1) throw bad('maxPasses', 'at least 1', maxPasses);
  if (maxLiveMs !== undefined && !(maxLiveMs > 0 && maxLiveMs <= MOST_MS)) {
    throw bad('maxLiveMs', `milliseconds, more than 0 and at most ${MOST_MS}`, maxLiveMs);
  }
  return { maxPasses, maxLiveMs, whenNotConverging };
}

/**
 * Refuses the bounds of a live save where the caller wants none.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT that names the option; as `liveLimits`
 */
export function assertLiveOptions(
  options: LiveOptions & Pick<SaveRequest, 'live' | 'downtimeLimitMs'>,
  { live, target }: SavePlan,
): void {
  liveLimits(options);
  const { maxPasses, maxLiveMs, whenNotConverging, downtimeLimitMs } = options;
  const given = Object.entries({ maxPasses, maxLiveMs, whenNotConverging, downtimeLimitMs });
  const [name] = given.find(([, value]) => value !== undefined) ?? [];
  if (options.live !== false || name === undefined) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `${name} is an option of live saves, but the guest would stand still: ${live.why}`,
    { path: target.path },
  );
}

/**
 * The warning about a guest that ran when its save was planned live, and did not any more when the save had it.
 * @param before the run state at the beginning of the save
 * @returns undefined where the save is live, or was not planned to be
 */
export function stoodStillInstead({ live }: SavePlan, before: string): string | undefined {
  if (!live.value || before === 'running') return undefined;
  return `the guest ran when the save was planned, and was ${before} when it began: it was not saved live, but as it stood still`;
}

function bad(name: string, expected: string, found: number): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, { expected, found });
}
