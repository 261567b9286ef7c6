import { MappedRamError } from '../errors.ts';
import type { QmpClient } from '../qemu/qmp-client.ts';
import type { QmpEvents } from '../qemu/qmp-events.ts';
import type { WaitOptions } from '../qemu/wait-within.ts';
import { letRun } from './recovery.ts';

/** A guest that stands still for its save. */
export class StoppedGuest implements AsyncDisposable {
  readonly #qmp: QmpClient;
  readonly #events: QmpEvents;
  readonly #stoppedAt: number | undefined;
  #resumed = false;
  #pauseMs: number | undefined;

  private constructor(qmp: QmpClient, events: QmpEvents, stoppedAt: number | undefined) {
    this.#qmp = qmp;
    this.#events = events;
    this.#stoppedAt = stoppedAt;
    void this.#watch();
  }

  /**
   * Stops the guest, if it runs.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  static async stop(qmp: QmpClient, ran: boolean, wait: WaitOptions): Promise<StoppedGuest> {
    const stoppedAt = ran ? performance.now() : undefined;
    if (ran) await qmp.execute('stop', undefined, wait);
    return new StoppedGuest(qmp, qmp.events('RESUME'), stoppedAt);
  }

  /** Whether it has stood still until now, as far as this side knows. */
  get stoodStill(): boolean {
    return !this.#resumed;
  }

  /** Milliseconds for which the guest stood still; undefined when it did not run before, or does not again. */
  get pauseMs(): number | undefined {
    return this.#pauseMs;
  }

  /**
   * Sees to it that nobody else has let the guest run while its memory was read.
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU
   */
  async assertStoodStill(): Promise<void> {
    // An answer comes after all events before it.
    const { running } = await this.#qmp.execute('query-status');
    if (!running && !this.#resumed) return;
    throw new MappedRamError(
      'ERR_MAPPED_RAM_QEMU',
      'somebody else has let the guest run while its memory was saved, so what was saved is no state of it',
    );
  }

  /** Lets the guest run again. @throws {MappedRamError} as {@link QmpClient.execute} */
  async letRun(): Promise<void> {
    await this.#events.return();
    await letRun(this.#qmp);
    if (this.#stoppedAt !== undefined) this.#pauseMs = performance.now() - this.#stoppedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#events.return();
  }

  async #watch(): Promise<void> {
    try {
      for await (const _ of this.#events) this.#resumed = true;
    } catch {
      // The connection is lost, which shows elsewhere.
    }
  }
}
