import type { QmpClient } from '../../qmp/client.ts';
import { LastWill } from './last-will.ts';

/** The longest time that a timer takes. */
const NO_LIMIT_MS = 2 ** 31 - 1;

/**
 * A guest that stands still while its migration ends: with a second connection, QEMU never recovers from a server that
 * dies between the end and QEMU's word on it while a CPU waits (docs/format.md §14.6).
 *
 * A CPU that waits for a page does not stop, and QEMU's main thread waits for it. So a standstill may begin under one
 * server, and be there under the next.
 */
export class Standstill {
  readonly #qmp: QmpClient;
  /** Settles when the guest stands still, with true if it ran before. */
  #beginning: Promise<boolean> | undefined;
  #will: LastWill | undefined;

  constructor(qmp: QmpClient) {
    this.#qmp = qmp;
  }

  /** True from its beginning to its end. */
  get isOn(): boolean {
    return this.#beginning !== undefined;
  }

  /**
   * Settles when the guest stands still. May be called again.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  async begin(): Promise<void> {
    this.#beginning ??= this.#stop();
    await this.#beginning;
  }

  /**
   * Lets the guest go on if it ran before.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  async end(): Promise<void> {
    try {
      const hasRun = await this.#beginning;
      if (hasRun === true && this.#qmp.isOpen) await this.#qmp.execute('cont');
    } finally {
      this.#beginning = undefined;
      this.#will?.revoke();
    }
  }

  async #stop(): Promise<boolean> {
    const wait = { timeoutMs: NO_LIMIT_MS };
    const { running } = await this.#qmp.execute('query-status', undefined, wait);
    if (!running) return false;
    this.#will = new LastWill(this.#qmp);
    // A command that was given up would be carried out all the same, and the guest would stay where it is.
    await this.#qmp.execute('stop', undefined, wait);
    return true;
  }
}
