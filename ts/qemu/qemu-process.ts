import { type ChildProcess, spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../errors.ts';
import { deferred } from '../host/deferred.ts';
import { killAtExit } from '../host/kill-at-exit.ts';
import { QmpClient } from '../qmp/client.ts';
import { type WaitOptions, waitWithin } from '../host/wait-within.ts';

const KEPT_STDERR = 64 * 1024;
const QMP_FD = 3;
/** Limit in milliseconds for the last words and the exit status of a QEMU that closed its QMP connection. */
const LAST_WORDS_MS = 2000;

/** The binary that is started when the caller names none. */
export const DEFAULT_BINARY = 'qemu-system-x86_64';

/** The QEMU to start, and how long the start may take. */
export interface QemuProcessOptions extends WaitOptions {
  /** @default `qemu-system-x86_64` */
  readonly binary?: string | undefined;
  /** The command line, without anything for this connection: a QMP monitor named `mapped-ram-qmp` is added. */
  readonly args: readonly string[];
  /** Limit in milliseconds until QEMU answers on QMP. @default 60000 */
  readonly timeoutMs?: number | undefined;
  /**
   * QEMU's stdin, stdout and stderr: nothing, or descriptors of this process. With descriptors, `stderr` is empty and
   * errors lack QEMU's last words, because the user has seen them already.
   * @default nothing, with stderr kept for errors
   */
  readonly stdio?: readonly ['ignore' | number, 'ignore' | number, 'ignore' | number] | undefined;
}

/** The end of a QEMU process. */
export interface QemuExit {
  /** The exit status; null when a signal ended the process or it never ran. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A QEMU of our own. It talks QMP over an inherited socket pair, so there is no path to choose, to wait for or to clean
 * up. QEMU dies with this object: `close()` kills and reaps it, and so does the end of this process.
 */
export class QemuProcess implements AsyncDisposable {
  readonly pid: number;
  readonly qmp: QmpClient;
  /** Settles when the process is gone and its stderr is read to the end. Never rejects. */
  readonly exited: Promise<QemuExit>;
  readonly #child: ChildProcess;
  readonly #stderr: StderrTail;

  private constructor(
    pid: number,
    child: ChildProcess,
    qmp: QmpClient,
    exited: Promise<QemuExit>,
    stderr: StderrTail,
  ) {
    this.pid = pid;
    this.qmp = qmp;
    this.exited = exited;
    this.#child = child;
    this.#stderr = stderr;
  }

  /**
   * Starts QEMU and waits until it answers on QMP. When this rejects, no process is left.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU ends instead of answering (with its exit status and last
   *   words); ERR_MAPPED_RAM_IO when the binary cannot be run; ERR_MAPPED_RAM_TIMEOUT when QEMU does not answer in time
   */
  static async start({
    binary = DEFAULT_BINARY,
    args,
    timeoutMs = 60_000,
    signal,
    stdio,
  }: QemuProcessOptions): Promise<QemuProcess> {
    signal?.throwIfAborted();
    const chardev = `socket,id=mapped-ram-qmp,fd=${QMP_FD}`;
    // QEMU 11.1 deprecates `-mon`, and older ones know no object in its place. All of them know `-qmp`.
    const monitor = ['-chardev', chardev, '-qmp', 'chardev:mapped-ram-qmp'];
    const standard = stdio ?? (['ignore', 'ignore', 'pipe'] as const);
    const child = spawn(binary, [...args, ...monitor], { stdio: [...standard, 'pipe'] });
    if (child.pid !== undefined) killAtExit(child);
    const failed = deferred<never>();
    failed.promise.catch(() => undefined);
    child.on('error', (cause) => {
      failed.reject(new MappedRamError('ERR_MAPPED_RAM_IO', 'cannot run QEMU', { path: binary, cause }));
    });
    const exited = exitOf(child);
    const stderr = new StderrTail(child);
    const stream = child.stdio[QMP_FD];
    try {
      if (child.pid === undefined || !(stream instanceof Duplex)) return await failed.promise;
      const explainLoss = async (): Promise<string | undefined> => {
        const exit = await Promise.race([exited, delay(LAST_WORDS_MS, undefined, { ref: false })]);
        return exit === undefined ? undefined : describeExit(exit, stderr.text);
      };
      const qmp = await QmpClient.open(stream, {
        timeoutMs,
        signal,
        explainLoss,
        pid: child.pid,
        stderr: () => stderr.text,
      });
      return new QemuProcess(child.pid, child, qmp, exited, stderr);
    } catch (error) {
      child.kill('SIGKILL');
      if (child.pid !== undefined) await exited;
      throw error;
    }
  }

  /** The end of what QEMU wrote to stderr: at most 64 Ki characters. */
  get stderr(): string {
    return this.#stderr.text;
  }

  /**
   * Asks QEMU to quit and waits until it is gone.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT when the time is over; QEMU then still runs
   */
  async quit(options: WaitOptions = {}): Promise<QemuExit> {
    // QEMU may be gone before its reply arrives; only its exit counts.
    await this.qmp.execute('quit', undefined, options).catch(() => undefined);
    return waitWithin(
      this.exited,
      options,
      () => new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'QEMU did not quit in time'),
    );
  }

  /** Kills QEMU if it still runs, and waits until it is gone. May be called again. */
  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.qmp.close();
    await this.exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

class StderrTail {
  text = '';

  constructor(child: ChildProcess) {
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.text = (this.text + chunk).slice(-KEPT_STDERR);
    });
  }
}

async function exitOf(child: ChildProcess): Promise<QemuExit> {
  const exit = deferred<QemuExit>();
  const drained = deferred<void>();
  child.once('exit', (code, signal) => exit.resolve({ code, signal }));
  child.once('close', () => drained.resolve());
  const result = await exit.promise;
  // A grandchild that inherited stderr must not delay the result.
  await Promise.race([drained.promise, delay(500, undefined, { ref: false })]);
  return result;
}

function describeExit({ code, signal }: QemuExit, stderr: string): string {
  const how =
    signal === null ? `QEMU exited with status ${code ?? 'unknown'}` : `QEMU was killed by ${signal}`;
  const words = stderr.trim();
  return words === '' ? how : `${how}: ${words}`;
}
