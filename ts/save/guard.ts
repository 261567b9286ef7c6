import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { extname } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { deferred } from '../qemu/deferred.ts';
import type { QmpClient } from '../qemu/qmp-client.ts';
import { waitWithin } from '../qemu/wait-within.ts';
import { formatRecovery, type Recovery } from './recovery.ts';

/** A new Node takes a tenth of that; not every machine is fast. */
const START_MS = 20_000;
/** How long the recovery itself may take. */
const RECOVER_MS = 60_000;

/**
 * A small process beside this one that brings QEMU back to where it was, should this one end in the middle of a save:
 * killed, out of memory, a worker terminated. Nothing else could: a guest that was stopped for a save would stay so.
 */
export class Guard {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #exited: Promise<number | null>;

  private constructor(child: ChildProcess, input: Writable, exited: Promise<number | null>) {
    this.#child = child;
    this.#input = input;
    this.#exited = exited;
  }

  /** Whether a connection can be guarded: it has a descriptor that another process can inherit. */
  static isPossible(qmp: QmpClient): boolean {
    return process.platform !== 'win32' && qmp.descriptor !== undefined;
  }

  /**
   * Settles when the guard is up. When this rejects, none is left.
   * @throws what kept it from starting
   */
  static async start(qmp: QmpClient, recovery: Recovery): Promise<Guard> {
    const { descriptor } = qmp;
    if (descriptor === undefined) throw new Error('the QMP connection has no descriptor');
    // The same file in the sources and in what is built of them. Only the sources need the loader that this process has.
    const extension = extname(import.meta.url);
    const main = fileURLToPath(new URL(`guard-main${extension}`, import.meta.url));
    const options = extension === '.ts' ? process.execArgv : [];
    // In a group of its own: Ctrl-C is for the other one.
    const stdio: StdioOptions = ['pipe', 'pipe', 'ignore', descriptor];
    const child = spawn(process.execPath, [...options, main], { detached: true, stdio });
    const exit = deferred<number | null>();
    child.once('error', () => exit.resolve(null));
    child.once('exit', (code) => exit.resolve(code));
    const { stdin, stdout } = child;
    const ready = deferred<void>();
    const gone = exit.promise.then(() => Promise.reject(new Error('it has ended')));
    gone.catch(() => undefined);
    try {
      // Missing when it cannot be run, which `gone` tells.
      if (stdin === null || stdout === null) return await gone;
      stdout.once('data', () => ready.resolve());
      stdin.on('error', () => undefined);
      stdin.write(`${formatRecovery(recovery)}\n`);
      await waitWithin(Promise.race([ready.promise, gone]), { timeoutMs: START_MS }, tooLate);
      stdout.destroy();
      return new Guard(child, stdin, exit.promise);
    } catch (error) {
      child.kill('SIGKILL');
      await exit.promise;
      throw error;
    }
  }

  /** All went well: the guard ends and does nothing. */
  async release(): Promise<void> {
    this.#input.end('done\n');
    await this.#ended();
  }

  /**
   * Lets the guard do its work now, because this process has lost its connection.
   * @returns whether QEMU is where it was
   */
  async recover(): Promise<boolean> {
    this.#input.end();
    return (await this.#ended()) === 0;
  }

  async #ended(): Promise<number | null> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), RECOVER_MS);
    try {
      return await this.#exited;
    } finally {
      clearTimeout(timer);
    }
  }
}

function tooLate(): Error {
  return new Error('it did not start in time');
}
