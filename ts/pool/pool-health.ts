/**
 * What has changed: a QEMU waits (`ready`); a guest was taken (`taken`); a QEMU that waited has died (`died`); a start
 * failed (`failed`); memory is short, and no QEMU is started (`held-back`); there is enough again (`released`); the pool
 * was closed (`closed`).
 */
export type PoolChange = 'ready' | 'taken' | 'died' | 'failed' | 'held-back' | 'released' | 'closed';

/** Counts of a pool, and its troubles. */
export interface PoolHealth {
  /** QEMUs that wait to be taken. */
  readonly waiting: number;
  /** QEMUs that are being started. */
  readonly starting: number;
  /** Calls of `take` that wait for a QEMU. */
  readonly queued: number;
  /** Guests that were taken since the pool was made. */
  readonly taken: number;
  /** QEMUs that died while they waited, since the pool was made. */
  readonly died: number;
  /** Starts that failed, since the pool was made. */
  readonly failed: number;
  /** Starts that failed and QEMUs that died soon, in a row; 0 when a guest was taken, or a QEMU has waited for a while. */
  readonly failuresInARow: number;
  /** The reason why no QEMU is started although some are missing, in words; undefined when there is none. */
  readonly heldBack: string | undefined;
  /** The last failure; undefined when `failuresInARow` is 0. */
  readonly lastError: Error | undefined;
  readonly isClosed: boolean;
}

/** A change in a pool: the argument of its event `health`. */
export interface PoolHealthEvent extends PoolHealth {
  readonly change: PoolChange;
  /** The number of the QEMU that the change is about, as `args` got it; undefined for the pool as a whole. */
  readonly index: number | undefined;
  /** The reason, for `died` and `failed`. */
  readonly error: Error | undefined;
}

/** The events of a pool, by name, each with its arguments. */
export interface PoolEvents {
  readonly health: [event: PoolHealthEvent];
}
