import { toError } from '../errors.ts';
import { deferred, type Deferred } from '../host/deferred.ts';
import type { QmpObject } from './json.ts';

/** An event as QEMU emitted it. */
export interface QmpEvent {
  /** `MIGRATION`, `STOP`, … */
  readonly event: string;
  /** Empty for an event without data. */
  readonly data: QmpObject;
  /** When QEMU emitted it: milliseconds since the epoch. */
  readonly timestampMs: number;
}

/** Which events are wanted: those of a name, of several, or those for which the function is true. */
export type QmpEventFilter = string | readonly string[] | ((event: QmpEvent) => boolean);

/**
 * The events from one moment on, in order; none is lost while the reader is busy. Iterating throws when the
 * connection dies and ends when it is closed. Whoever stops reading before that calls `return()` (as leaving a
 * `for await` does).
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

  /** What is queued can still be read; after it comes the error, if there is one, and the end. */
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

  /** What the caller's filter throws is the caller's: it must not take the connection down. */
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
