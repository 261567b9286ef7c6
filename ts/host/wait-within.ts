import { addAbortListener, defaultMaxListeners, getMaxListeners, setMaxListeners } from 'node:events';

import { deferred } from './deferred.ts';

/** Limits on the time that one operation may take. */
export interface WaitOptions {
  /** Time in milliseconds; no limit when undefined. */
  readonly timeoutMs?: number | undefined;
  /** Aborting the signal ends the wait: the operation rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for `promise`, but not longer than allowed. Only the waiting ends: the work behind the promise goes on.
 *
 * @param onTimeout makes the error to reject with when the time is over
 */
export async function waitWithin<T>(
  promise: Promise<T>,
  { timeoutMs, signal }: WaitOptions,
  onTimeout: () => Error,
): Promise<T> {
  const { promise: interrupted, reject } = deferred<never>();
  // Lost races must not surface as unhandled rejections.
  promise.catch(() => undefined);
  interrupted.catch(() => undefined);
  signal?.throwIfAborted();
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => reject(onTimeout()), timeoutMs);
  if (signal !== undefined) expectMany(signal);
  const listener = signal && addAbortListener(signal, () => reject(signal.reason));
  try {
    return await Promise.race([promise, interrupted]);
  } finally {
    clearTimeout(timer);
    listener?.[Symbol.dispose]();
  }
}

/**
 * Lifts the limit on listeners: many commands wait for one signal at once, which Node would take for a leak. Infinity
 * says it, because Node cannot read back the 0 that means no limit.
 */
function expectMany(signal: AbortSignal): void {
  if (getMaxListeners(signal) === defaultMaxListeners) setMaxListeners(Number.POSITIVE_INFINITY, signal);
}
