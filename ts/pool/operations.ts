import { addAbortListener } from 'node:events';

import type { WaitOptions } from '../host/wait-within.ts';

/** Limits on one operation, and the error for the time that is over. */
interface Limits extends WaitOptions {
  readonly onTimeout?: (() => Error) | undefined;
}

/**
 * Operations that end together when their owner closes. Each has a signal of its own, which is gone with the operation:
 * a signal that thousands of operations are derived from would keep something of each.
 */
export class Operations {
  readonly #running = new Map<AbortController, Promise<unknown>>();
  #reason: Error | undefined;

  /** Runs work whose signal aborts for the caller's signal, when the time is over, and when the owner closes. */
  async run<T>(
    work: (signal: AbortSignal) => Promise<T>,
    { signal, timeoutMs, onTimeout }: Limits = {},
  ): Promise<T> {
    if (this.#reason !== undefined) throw this.#reason;
    signal?.throwIfAborted();
    const controller = new AbortController();
    const timer =
      timeoutMs === undefined ? undefined : setTimeout(() => controller.abort(onTimeout?.()), timeoutMs);
    const listener = signal && addAbortListener(signal, () => controller.abort(signal.reason));
    const running = work(controller.signal);
    this.#running.set(controller, running);
    try {
      return await running;
    } finally {
      this.#running.delete(controller);
      clearTimeout(timer);
      listener?.[Symbol.dispose]();
    }
  }

  /** Aborts what runs, and waits until all of it has ended. Later operations are refused with the reason. */
  async close(reason: Error): Promise<void> {
    this.#reason ??= reason;
    const running = [...this.#running];
    for (const [controller] of running) controller.abort(reason);
    await Promise.allSettled(running.map(([, promise]) => promise));
  }
}
