import type { TransferOptions } from './transfer-options.ts';
import { tellListener } from '../host/tell-listener.ts';

const INTERVAL_MS = 250;

/** Tells of progress as the engine does, now and then and at the end, where pages do not go through the engine. */
export class MemoryProgress {
  readonly #onProgress: TransferOptions['onProgress'];
  readonly #bytesTotal: number;
  readonly #startedAt = performance.now();
  #reportedAt = 0;
  #bytesDone = 0;
  #dataBytes = 0;

  constructor(bytesTotal: number, onProgress: TransferOptions['onProgress']) {
    this.#bytesTotal = bytesTotal;
    this.#onProgress = onProgress;
  }

  /**
   * Counts memory that is done, of which `dataBytes` were pages. A page that comes again adds nothing beyond the total.
   */
  add(bytes: number, dataBytes: number): void {
    this.#bytesDone = Math.min(this.#bytesTotal, this.#bytesDone + bytes);
    this.#dataBytes = Math.min(this.#bytesTotal, this.#dataBytes + dataBytes);
    if (performance.now() - this.#reportedAt >= INTERVAL_MS) this.#report();
  }

  end(dataBytes: number): void {
    this.#bytesDone = this.#bytesTotal;
    this.#dataBytes = dataBytes;
    this.#report();
  }

  #report(): void {
    this.#reportedAt = performance.now();
    tellListener(this.#onProgress, () => ({
      bytesTotal: this.#bytesTotal,
      bytesDone: this.#bytesDone,
      dataBytes: this.#dataBytes,
      elapsedMs: this.#reportedAt - this.#startedAt,
    }));
  }
}
