import type { MappedRamError } from '../errors.ts';
import { type WaitOptions, waitWithin } from '../host/wait-within.ts';
import { closed, timeout } from './client-errors.ts';
import { type QmpEvent, type QmpEventFilter, QmpEvents } from './events.ts';

/** The readers of a connection's events. */
export class QmpSubscribers {
  readonly #subscribers = new Set<QmpEvents>();

  add(filter: QmpEventFilter | undefined): QmpEvents {
    const events = new QmpEvents((self) => this.#subscribers.delete(self), filter);
    this.#subscribers.add(events);
    return events;
  }

  push(event: QmpEvent): void {
    for (const events of this.#subscribers) events.push(event);
  }

  /** Ends all readers. A connection that its owner has closed is no failure to them. */
  end(error: MappedRamError): void {
    for (const events of this.#subscribers) {
      events.end(error.code === 'ERR_MAPPED_RAM_CLOSED' ? undefined : error);
    }
    this.#subscribers.clear();
  }
}

/**
 * Waits for the first event of a subscription, and ends the subscription.
 * @throws {MappedRamError} as `QmpClient.waitForEvent`
 */
export async function firstOf(events: QmpEvents, wait: WaitOptions): Promise<QmpEvent> {
  try {
    const { value } = await waitWithin(events.next(), wait, () => timeout('waiting for an event'));
    if (value === undefined) throw closed();
    return value;
  } finally {
    await events.return();
  }
}
