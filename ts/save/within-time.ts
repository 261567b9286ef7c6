import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/** The longest time in milliseconds that a timer of Node can wait. */
const MOST = 2 ** 31 - 1;

/**
 * Does work of many steps under one limit, which the signal that the work gets enforces.
 * @param work gets the caller's signal, or one that also ends with the time
 * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT; the signal's reason; the work's errors
 */
export async function withinTime<T>(
  { timeoutMs, signal }: WaitOptions,
  work: (signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  if (timeoutMs === undefined || timeoutMs > MOST) return work(signal);
  const limit = new AbortController();
  const late = (): void =>
    limit.abort(new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `the save was not done in ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  try {
    return await work(signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]));
  } finally {
    clearTimeout(timer);
  }
}
