/** Milliseconds to the next start after the first failure, and the most. Each failure in a row doubles them. */
const [FIRST_MS, MOST_MS] = [100, 10_000];
/** Failures in a row after which those who wait are told. */
const HOPELESS = 3;
/** Milliseconds for which a QEMU has to wait before it counts as one that works. */
const WORKS_AFTER_MS = 1000;

/**
 * Counts failures in a row, and says when the next start may be. A start that went well ends the row only when its QEMU
 * was taken or has waited for a while: QEMUs that die at once must not be replaced without a pause.
 */
export class BackOff {
  readonly #now: () => number;
  #inARow = 0;
  #failedAt = Number.NEGATIVE_INFINITY;
  #lastError: Error | undefined;

  /** @param now the time in milliseconds, for tests */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get inARow(): number {
    return this.#inARow;
  }

  /** The last failure; undefined when the row is over. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** True when starting has failed again and again. */
  get isHopeless(): boolean {
    return this.#inARow >= HOPELESS;
  }

  /** Milliseconds until the next start may be; 0 when it may be now. */
  get pauseMs(): number {
    if (this.#inARow === 0) return 0;
    const pause = Math.min(MOST_MS, FIRST_MS * 2 ** (this.#inARow - 1));
    return Math.max(0, this.#failedAt + pause - this.#now());
  }

  /** Notes a start that failed, or a QEMU that died. @param waitedMs milliseconds for which it had waited */
  failed(error: Error, waitedMs = 0): void {
    if (waitedMs >= WORKS_AFTER_MS) this.#inARow = 0;
    this.#inARow += 1;
    this.#failedAt = this.#now();
    this.#lastError = error;
  }

  /**
   * Notes a QEMU that works. One that was there before the last failure says nothing about starts.
   * @param waitedMs milliseconds for which it has waited; undefined when it was taken
   */
  works(waitedMs?: number): void {
    const isNew = waitedMs !== undefined && this.#now() - waitedMs > this.#failedAt;
    if (waitedMs !== undefined && (waitedMs < WORKS_AFTER_MS || !isNew)) return;
    this.#inARow = 0;
    this.#lastError = undefined;
  }
}
