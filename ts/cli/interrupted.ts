import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type StopSignal = (typeof SIGNALS)[number];

/** The reason of a command's AbortSignal when the user or the system stops the command. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  /** 128 plus the signal's number, as in shells. */
  readonly exitCode: number;

  constructor(signal: StopSignal) {
    super(`interrupted by ${signal}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** Turns the first SIGINT, SIGTERM or SIGHUP into an abort; the second ends the process at once. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }

  readonly #onSignal = (name: StopSignal): void => {
    const interrupted = new Interrupted(name);
    if (!this.signal.aborted) {
      this.#controller.abort(interrupted);
      return;
    }
    // Listeners for 'exit' still end child processes and remove temporary directories.
    this[Symbol.dispose]();
    process.exit(interrupted.exitCode);
  };
}

/** Settles when a command is told to stop. */
export async function untilStopped(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
