import { addAbortListener } from 'node:events';

import { deferred, type Deferred } from '../host/deferred.ts';

/** The queue of those who wait for something, first come first served. */
export class Takers<T> {
  readonly #queue: Deferred<T>[] = [];

  get length(): number {
    return this.#queue.length;
  }

  /**
   * Waits for a thing. One that arrives with the signal is not lost: the wait then succeeds.
   * @param isFirst true for a taker who was served already, and badly
   * @throws the signal's reason; what `rejectAll` was given
   */
  async wait(signal: AbortSignal, isFirst = false): Promise<T> {
    signal.throwIfAborted();
    const taker = deferred<T>();
    if (isFirst) this.#queue.unshift(taker);
    else this.#queue.push(taker);
    const listener = addAbortListener(signal, () => {
      // A taker who is no longer in the queue has been served.
      if (this.#remove(taker)) taker.reject(signal.reason);
    });
    try {
      return await taker.promise;
    } finally {
      listener[Symbol.dispose]();
    }
  }

  /** Gives a thing to the first in the queue. @returns false when nobody waits */
  serve(thing: T): boolean {
    const taker = this.#queue.shift();
    taker?.resolve(thing);
    return taker !== undefined;
  }

  /** Sends everybody away. @param reason makes an error for each: errors are not shared */
  rejectAll(reason: () => Error): void {
    for (const taker of this.#queue.splice(0)) taker.reject(reason());
  }

  #remove(taker: Deferred<T>): boolean {
    const place = this.#queue.indexOf(taker);
    if (place !== -1) this.#queue.splice(place, 1);
    return place !== -1;
  }
}
