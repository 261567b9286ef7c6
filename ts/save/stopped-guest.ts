import { MappedRamError } from '../errors.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { QmpEvents } from '../qmp/events.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { asleep, isLive } from './run-state/assert-run-state.ts';
import { letRunNow } from './recovery.ts';

/** A guest that stands still for its save. */
export class StoppedGuest implements AsyncDisposable {
  readonly #qmp: QmpClient;
  readonly #events: QmpEvents;
  readonly #stoppedAt: number | undefined;
  #stands: boolean;
  #resumed = false;
  #slept = false;
  #pauseMs: number | undefined;
  /** The run state of the guest that stood still to the end, for which it need not wait once more. */
  #status: string | undefined;

  private constructor(qmp: QmpClient, ran: boolean) {
    this.#qmp = qmp;
    this.#stands = !ran;
    this.#stoppedAt = ran ? performance.now() : undefined;
    // The filter sees events as they come in: an answer that comes after them must not be read before them.
    this.#events = qmp.events(({ event }) => {
      this.#see(event);
      return false;
    });
  }

  /**
   * Stops the guest, if it runs or sleeps.
   * @param before the run state in which the guest was found
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a guest that has fallen asleep since; as
   *   {@link QmpClient.execute}
   */
  static async stop(qmp: QmpClient, before: string, wait: WaitOptions): Promise<StoppedGuest> {
    const ran = isLive(before);
    const guest = new StoppedGuest(qmp, ran);
    try {
      if (ran) await guest.#stop(before, wait);
      // QEMU sends no event if somebody else had stopped the guest just before.
      guest.#stands = true;
      return guest;
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #stop(before: string, wait: WaitOptions): Promise<void> {
    // QEMU carries both out in this order, and need not wait for us between them.
    const [{ status }] = await Promise.all([
      this.#qmp.execute('query-status', undefined, wait),
      this.#qmp.execute('stop', undefined, wait),
    ]);
    // QEMU's answer comes after all events before it.
    const fellAsleep = before !== 'suspended' && (status === 'suspended' || this.#slept);
    if (fellAsleep) throw asleep('suspended');
  }

  /** True when the guest has stood still until now, as far as this process knows. */
  get stoodStill(): boolean {
    return !this.#resumed;
  }

  /** Milliseconds for which the guest stood still; undefined when it did not run before, or does not run again. */
  get pauseMs(): number | undefined {
    return this.#pauseMs;
  }

  /**
   * Makes sure that nobody else has let the guest run while its memory was read.
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU
   */
  async assertStoodStill(wait: WaitOptions): Promise<void> {
    // QEMU's answer comes after all events before it.
    const { running, status } = await this.#qmp.execute('query-status', undefined, wait);
    this.#status = status;
    if (!running && !this.#resumed) return;
    throw new MappedRamError(
      'ERR_MAPPED_RAM_QEMU',
      'somebody else has let the guest run while its memory was saved, so what was saved is no state of it',
    );
  }

  /** Lets the guest run again, after `migrateOut` has settled. @throws {MappedRamError} as {@link QmpClient.execute} */
  async letRun(): Promise<void> {
    await this.#events.return();
    await letRunNow(this.#qmp, undefined, this.#status);
    if (this.#stoppedAt !== undefined) this.#pauseMs = performance.now() - this.#stoppedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#events.return();
  }

  #see(event: string): void {
    if (event === 'SUSPEND') this.#slept = true;
    if (event === 'STOP') this.#stands = true;
    if (event === 'RESUME' && this.#stands) this.#resumed = true;
  }
}
