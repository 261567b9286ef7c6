import { type ChildProcess, spawn } from 'node:child_process';
import { Duplex } from 'node:stream';

import { MappedRamError } from '../../errors.ts';
import { killAtExit, killChild } from '../../host/kill-at-exit.ts';
import { waitWithin } from '../../host/wait-within.ts';

/** The program writes a line here when it has come to a stop, and goes on when it can read one there. */
const [STOPPED_FD, GO_FD] = [3, 4];
/** Shell words for a stop. */
export const SHELL_STOP: string = `echo stopped >&${STOPPED_FD}; read line <&${GO_FD}`;
/** The same for Node, as a function `stop`. */
export const NODE_STOP: string = `const stop = () => {
  require('node:fs').writeSync(${STOPPED_FD}, 'stopped\\n');
  require('node:fs').readSync(${GO_FD}, Buffer.alloc(1));
};`;
/** Characters of a program's output on stderr that its error repeats. */
const KEPT_STDERR = 2000;

export interface WaitingProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly signal: AbortSignal;
}

/**
 * A program that stops before and after its work, so that it can be metered for just that: neither its start nor its
 * end counts. Disposal kills it.
 */
export class WaitingProgram implements AsyncDisposable {
  readonly #command: string;
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal;
  readonly #ended: Promise<void>;
  #failure: Error | undefined;
  #stops = 0;
  #wake: () => void = () => undefined;
  #stdout = '';
  #stderr = '';

  constructor({ command, args, directory, signal }: WaitingProgramOptions) {
    signal.throwIfAborted();
    this.#command = command;
    this.#signal = signal;
    const { NODE_OPTIONS: _, ...env } = process.env;
    this.#child = spawn(command, args, {
      cwd: directory,
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    if (this.#child.pid !== undefined) killAtExit(this.#child);
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', (error) => {
        this.#failure = error;
        resolve();
      });
    });
    this.#child.stdout?.on('data', (text: Buffer) => {
      this.#stdout += text.toString();
    });
    this.#child.stderr?.on('data', (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-KEPT_STDERR);
    });
    this.#child.stdio[STOPPED_FD]?.on('data', (text: Buffer) => {
      this.#stops += text.toString().split('\n').length - 1;
      this.#wake();
    });
    // A program that dies leaves broken pipes; its end says more.
    for (const fd of [STOPPED_FD, GO_FD]) this.#child.stdio[fd]?.on('error', () => undefined);
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw this.#error('cannot be started');
    return pid;
  }

  /**
   * Waits until the program has come to its next stop.
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the program ends instead; the signal's reason
   */
  async untilStopped(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.#wake = () => {
        if (this.#stops === 0) return;
        this.#stops -= 1;
        resolve();
      };
      this.#wake();
    });
    const gone = this.#ended.then(() => {
      throw this.#error('has ended early');
    });
    gone.catch(() => undefined);
    await this.#wait(Promise.race([stopped, gone]));
    this.#wake = () => undefined;
  }

  /** Lets the program go on from a stop. */
  goOn(): void {
    const pipe = this.#child.stdio[GO_FD];
    if (pipe instanceof Duplex) pipe.write('\n');
  }

  /**
   * Waits for the program's end.
   * @returns its output
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the program fails; the signal's reason
   */
  async untilEnd(): Promise<string> {
    await this.#wait(this.#ended);
    if (this.#failure !== undefined || this.#child.exitCode !== 0) throw this.#error('has failed');
    return this.#stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.pid === undefined) return;
    killChild(this.#child);
    await this.#ended;
  }

  #wait<T>(promise: Promise<T>): Promise<T> {
    return waitWithin(promise, { signal: this.#signal }, () => this.#error('does not end'));
  }

  #error(words: string): MappedRamError {
    const { exitCode, signalCode } = this.#child;
    const lastWords = this.#stderr.trim();
    return new MappedRamError('ERR_MAPPED_RAM_IO', `${this.#command} ${words}`, {
      found: exitCode === null ? (signalCode ?? undefined) : `exit status ${exitCode}`,
      cause: this.#failure ?? (lastWords === '' ? undefined : new Error(lastWords)),
    });
  }
}
