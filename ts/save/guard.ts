import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { Socket } from 'node:net';
import { extname } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { MappedRamError, messageOf } from '../errors.ts';
import { deferred } from '../host/deferred.ts';
import type { Switch } from '../negotiate/request.ts';
import type { QmpClient } from '../qmp/client.ts';
import { waitWithin, type WaitOptions } from '../host/wait-within.ts';
import { formatRecovery, type Recovery } from './recovery.ts';

/** Limit in milliseconds for the guard's start. A new Node takes a tenth of a second, and not every machine is fast. */
const START_MS = 60_000;

/**
 * A small process beside this one. It brings QEMU where it is to be, should this process end in the middle of a save:
 * killed, out of memory, a worker terminated. Nothing else could: a guest that was stopped for a save would stay
 * stopped.
 *
 * Node does not reap the children of a worker that was terminated. Such a guard does its work, and its entry in the
 * process table stays until this process ends.
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

  /** True when a connection can be guarded: it has a descriptor that another process can inherit. */
  static isPossible(qmp: QmpClient): boolean {
    return process.platform !== 'win32' && qmp.descriptor !== undefined;
  }

  /**
   * Starts a guard, and settles when it is up. The guard does nothing until `tell`. When this rejects, no guard is
   * left.
   * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT when the guard does not start in time
   * @throws the error that kept the guard from starting; the signal's reason
   */
  static async start(qmp: QmpClient, { signal }: WaitOptions): Promise<Guard> {
    const { descriptor } = qmp;
    if (descriptor === undefined) throw new Error('the QMP connection has no descriptor');
    // The guard's file has the same name in the sources and in the build. Only the sources need the loader of this
    // process.
    const extension = extname(import.meta.url);
    const main = fileURLToPath(new URL(`guard-main${extension}`, import.meta.url));
    const options = extension === '.ts' ? process.execArgv : [];
    // The guard is in a process group of its own: Ctrl-C is for this process.
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
      // The pipes are missing when the guard cannot be run; `gone` has the reason.
      if (stdin === null || stdout === null) return await gone;
      stdout.once('data', () => ready.resolve());
      stdin.on('error', () => undefined);
      await waitWithin(Promise.race([ready.promise, gone]), { timeoutMs: START_MS, signal }, tooLate);
      stdout.destroy();
      return new Guard(child, stdin, exit.promise);
    } catch (error) {
      child.kill('SIGKILL');
      await exit.promise;
      throw error;
    }
  }

  /** True while the guard runs. */
  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Gives the guard a recovery, in the place of the one before. Settles when the guard will carry it out whatever
   * becomes of this process.
   */
  async tell(recovery: Recovery): Promise<void> {
    await new Promise<void>((resolve) => {
      // A write fails when the guard is gone, which `isAlive` tells.
      this.#input.write(`${formatRecovery(recovery)}\n`, () => resolve());
    });
  }

  /** Ends the guard without work: all is well. */
  async release(): Promise<void> {
    this.#input.end('done\n');
    // It holds nothing that it would have to let go of, and a Node that ends by itself takes ten times as long.
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /**
   * Lets the guard do its work now, because this process has lost its connection. The guard goes on when this call
   * gives up waiting.
   * @returns true when QEMU is where it is to be; `late` when the time was over first
   */
  async recover(timeoutMs: number): Promise<boolean | 'late'> {
    this.#input.end();
    // This process need not wait for the guard at its own end.
    this.#child.unref();
    if (this.#input instanceof Socket) this.#input.unref();
    try {
      return (await waitWithin(this.#exited, { timeoutMs }, notDone)) === 0;
    } catch {
      return 'late';
    }
  }
}

/** Guards that were started before their saves. */
const early = new WeakMap<QmpClient, Guard>();

/**
 * Starts the guard of the next save over a connection, which then need not wait for it. A guard that cannot be had is the
 * business of that save. The guard has the connection, too, for which QEMU would take no other client: it ends with the
 * client of its caller.
 * @returns disposal releases the guard, unless a save has it by then
 */
export async function startGuardEarly(
  qmp: QmpClient,
  wanted: Switch,
  wait: WaitOptions,
): Promise<AsyncDisposable> {
  const guard = wanted === 'off' ? undefined : await startGuard(qmp, wait);
  if (!(guard instanceof Guard)) return { [Symbol.asyncDispose]: async () => undefined };
  early.set(qmp, guard);
  const release = async (): Promise<void> => {
    if (early.get(qmp) !== guard) return;
    early.delete(qmp);
    await guard.release();
  };
  // No event has no name: this is the end of the connection, or of the wait for it.
  const ending = qmp.events([]);
  const released = ending.next().then(release, release);
  return {
    [Symbol.asyncDispose]: async () => {
      await ending.return();
      await released;
    },
  };
}

/**
 * Starts a guard, or takes the one that was started early.
 * @returns the reason in words why there is none
 * @throws the signal's reason
 */
export async function startGuard(qmp: QmpClient, wait: WaitOptions): Promise<Guard | string> {
  const there = early.get(qmp);
  early.delete(qmp);
  if (there?.isAlive === true) return there;
  if (!Guard.isPossible(qmp)) return 'the connection to QEMU is no socket of this process';
  try {
    return await Guard.start(qmp, wait);
  } catch (error) {
    wait.signal?.throwIfAborted();
    return messageOf(error);
  }
}

function tooLate(): Error {
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'it did not start in time');
}

function notDone(): Error {
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'it was not done in time');
}
