/**
 * Calls functions of a caller's, and waits for them until a signal aborts. One listener serves all the calls that are
 * under way, of which there may be many.
 */
export class AbortableCalls {
  readonly #signal: AbortSignal | undefined;
  readonly #waiting = new Set<(reason: unknown) => void>();
  readonly #abort = (): void => {
    for (const giveUp of this.#waiting) giveUp(this.#signal?.reason);
  };

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /**
   * Waits for the call. What becomes of a call after an abort does not matter to anybody.
   * @param call may throw at once and need not return a promise
   * @throws what the call throws; the signal's reason
   */
  async run<Result>(call: () => Result | Promise<Result>): Promise<Result> {
    const signal = this.#signal;
    if (signal === undefined) return call();
    signal.throwIfAborted();
    let giveUp: ((reason: unknown) => void) | undefined;
    try {
      return await new Promise<Result>((resolve, reject) => {
        giveUp = reject;
        if (this.#waiting.size === 0) signal.addEventListener('abort', this.#abort, { once: true });
        this.#waiting.add(reject);
        // A promise takes no notice of the call any more when the abort has come first.
        Promise.resolve(call()).then(resolve, reject);
      });
    } finally {
      if (giveUp !== undefined) this.#waiting.delete(giveUp);
      if (this.#waiting.size === 0) signal.removeEventListener('abort', this.#abort);
    }
  }
}
