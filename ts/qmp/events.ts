import { toError } from '../errors.ts';
import { deferred, type Deferred } from '../host/deferred.ts';
import type { QmpObject } from './json.ts';

/** An event as QEMU emitted it. */
export interface QmpEvent {
  /** The event's name: `MIGRATION`, `STOP`, …. */
  readonly event: string;
  /** The event's data; empty for an event without data. */
  readonly data: QmpObject;
  /** Time at which QEMU emitted the event: milliseconds since the epoch. */
  readonly timestampMs: number;
}

/** A filter for events: one name, several names, or a function that is true for wanted events. */
export type QmpEventFilter = string | readonly string[] | ((event: QmpEvent) => boolean);

/**
 * The events from one moment on, in order; none is lost while the reader is busy. Iteration throws when the connection
 * dies and ends when it is closed. A reader that stops before that calls `return()` (as leaving a `for await` does).
 */
export class QmpEvents implements AsyncIterableIterator<QmpEvent> {
  readonly #queue: QmpEvent[] = [];
  readonly #onReturn: (self: QmpEvents) => void;
  readonly #wants: (event: QmpEvent) => boolean;
  #waiting: Deferred<IteratorResult<QmpEvent, undefined>>[] = [];
  #ended = false;
  #error: Error | undefined;

  constructor(onReturn: (self: QmpEvents) => void, filter?: QmpEventFilter) {
    this.#onReturn = onReturn;
    this.#wants = toPredicate(filter);
  }

  push(event: QmpEvent): void {
    if (this.#ended || !this.#accepts(event)) return;
    const reader = this.#waiting.shift();
    if (reader === undefined) this.#queue.push(event);
    else reader.resolve({ done: false, value: event });
  }

  /**
   * Ends the stream of events. Queued events can still be read; after them comes the error, if there is one, and the
   * end.
   */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const reader of waiting) {
      if (error === undefined) reader.resolve({ done: true, value: undefined });
      else reader.reject(error);
    }
    this.#error = error;
  }

  next(): Promise<IteratorResult<QmpEvent, undefined>> {
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const reader = deferred<IteratorResult<QmpEvent, undefined>>();
    this.#waiting.push(reader);
    return reader.promise;
  }

  return(): Promise<IteratorResult<QmpEvent, undefined>> {
    this.#queue.length = 0;
    this.end();
    this.#onReturn(this);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** An exception from the caller's filter belongs to the caller: it must not take the connection down. */
  #accepts(event: QmpEvent): boolean {
    try {
      return this.#wants(event);
    } catch (error) {
      this.end(toError(error));
      this.#onReturn(this);
      return false;
    }
  }
}

function toPredicate(filter: QmpEventFilter | undefined): (event: QmpEvent) => boolean {
  if (filter === undefined) return () => true;
  if (typeof filter === 'function') return filter;
  const names: readonly string[] = typeof filter === 'string' ? [filter] : filter;
  return ({ event }) => names.includes(event);
}
