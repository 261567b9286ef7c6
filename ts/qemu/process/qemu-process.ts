import type { ChildProcess } from 'node:child_process';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../../errors.ts';
import { deferred } from '../../host/deferred.ts';
import { killAtExit, killChild } from '../../host/kill-at-exit.ts';
import { lost, timeout } from '../../qmp/client-errors.ts';
import { QmpClient } from '../../qmp/client.ts';
import { QmpDoor } from './qmp-door.ts';
import type { WaitingWatch } from './waiting-watch.ts';
import { cannotRun, startChild } from './start-child.ts';
import { StderrTail } from './stderr-tail.ts';
import { closingWrapper } from './wrappers.ts';
import { type WaitOptions, waitWithin } from '../../host/wait-within.ts';

const LOST = 'QEMU closed the connection';
const QMP_FD = 3;
/** Limit in milliseconds for the answer of a QEMU that was asked to quit, and again for its end. It is killed then. */
const QUIT_MS = 1000;
/** Limit in milliseconds for the last words and the exit status of a QEMU that closed its QMP connection. */
const LAST_WORDS_MS = 2000;

/** Lines of QEMU's output on stderr that errors repeat. */
const LAST_LINES = 10;
/** The binary that is started when the caller names none. */
export const DEFAULT_BINARY = 'qemu-system-x86_64';

/** The QEMU to start, and how long the start may take. */
export interface QemuProcessOptions extends WaitOptions {
  /** @default `qemu-system-x86_64` */
  readonly binary?: string | undefined;
  /**
   * Descriptors of this process that QEMU inherits, under the paths of {@link inheritedPath}. Programs that start QEMU
   * in their turn (`timeout`, `unshare`, `setpriv`, a script) pass them on. A program that is known to close them
   * (`sudo`, `doas`, `pkexec`) gets none.
   * @default none
   */
  readonly inherit?: readonly number[] | undefined;
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
  /** Ends QEMU also when this process is killed, until `letOutlive`. @default nothing does @internal */
  readonly watch?: WaitingWatch | undefined;
  /** True for a connection on which commands get through out of band; see `QmpClientOptions`. @default false */
  readonly oob?: boolean | undefined;
}

/**
 * The path by which QEMU opens an inherited descriptor. QEMU itself resolves it, so that another user or another
 * namespace of processes makes no difference.
 * @param index the descriptor's place in `inherit`
 */
export function inheritedPath(index: number): string {
  return `/proc/self/fd/${QMP_FD + 1 + index}`;
}

/** The end of a QEMU process. */
export interface QemuExit {
  /** The exit status; null when a signal ended the process or it never ran. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A QEMU of our own. It talks QMP over an inherited socket pair, so there is no path to choose, to wait for or to clean
 * up; only behind a program that lets QEMU inherit nothing (`sudo`) there is one. QEMU dies with this object: `close()`
 * ends and reaps it, and so does the end of this process.
 */
export class QemuProcess implements AsyncDisposable {
  /** The process that was started: QEMU, or the program that starts QEMU in its turn. */
  readonly pid: number;
  readonly qmp: QmpClient;
  /** Settles when the process is gone and its stderr is read to the end. Never rejects. */
  readonly exited: Promise<QemuExit>;
  readonly #child: ChildProcess;
  readonly #stderr: StderrTail;
  readonly #watch: WaitingWatch | undefined;

  private constructor(
    pid: number,
    child: ChildProcess,
    qmp: QmpClient,
    {
      exited,
      stderr,
      watch,
    }: Pick<QemuProcess, 'exited'> & Pick<QemuProcessOptions, 'watch'> & { stderr: StderrTail },
  ) {
    this.pid = pid;
    this.qmp = qmp;
    this.exited = exited;
    this.#child = child;
    this.#stderr = stderr;
    this.#watch = watch;
  }

  /**
   * Starts QEMU and waits until it answers on QMP. When this rejects, no process is left.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU ends instead of answering (with its exit status and last
   *   words); ERR_MAPPED_RAM_IO when the binary cannot be run; ERR_MAPPED_RAM_TIMEOUT when QEMU does not answer in time
   */
  static async start(options: QemuProcessOptions): Promise<QemuProcess> {
    const {
      binary = DEFAULT_BINARY,
      args,
      inherit = [],
      timeoutMs = 60_000,
      signal,
      stdio,
      watch,
      oob,
    } = options;
    signal?.throwIfAborted();
    const isClosed = closingWrapper([binary, ...args]) !== undefined;
    await using door = isClosed ? await QmpDoor.open() : undefined;
    const place = door === undefined ? `fd=${QMP_FD}` : `path=${door.path.replaceAll(',', ',,')}`;
    const chardev = `socket,id=mapped-ram-qmp,${place}`;
    // QEMU 11.1 deprecates `-mon`, and older ones know no object in its place. All of them know `-qmp`.
    const monitor = ['-chardev', chardev, '-qmp', 'chardev:mapped-ram-qmp'];
    const standard = stdio ?? (['ignore', 'ignore', 'pipe'] as const);
    const further = isClosed ? [] : ['pipe' as const, ...inherit];
    const start = (environment?: NodeJS.ProcessEnv): ChildProcess =>
      startChild(binary, [...args, ...monitor], [...standard, ...further], environment);
    const child = watch === undefined ? start() : watch.begin(start);
    if (child.pid !== undefined) killAtExit(child);
    const failed = deferred<never>();
    failed.promise.catch(() => undefined);
    child.on('error', (cause) => {
      failed.reject(cannotRun(binary, cause));
    });
    const exited = exitOf(child);
    const stderr = new StderrTail(child);
    try {
      if (child.pid === undefined) return await failed.promise;
      const explainLoss = async (): Promise<string | undefined> => {
        const exit = await Promise.race([exited, delay(LAST_WORDS_MS, undefined, { ref: false })]);
        return exit === undefined ? undefined : describeExit(exit, stderr.text);
      };
      const gone = exited.then(async () => Promise.reject(await lost(LOST, explainLoss, undefined)));
      gone.catch(() => undefined);
      const arrived = door === undefined ? inherited(child) : Promise.race([door.welcome(child.pid), gone]);
      const stream = await waitWithin(arrived, { timeoutMs, signal }, () => timeout('waiting for QMP'));
      const qmp = await QmpClient.open(stream, {
        timeoutMs,
        signal,
        explainLoss,
        pid: child.pid,
        stderr: () => stderr.text,
        oob,
      });
      return new QemuProcess(child.pid, child, qmp, { exited, stderr, watch });
    } catch (error) {
      killChild(child);
      if (child.pid !== undefined) await exited;
      throw error;
    }
  }

  /** The end of what QEMU wrote to stderr: at most 64 Ki characters. */
  get stderr(): string {
    return this.#stderr.text;
  }

  /**
   * True when the process that was started has ended, and QEMU still answers: a program has started QEMU and not waited
   * for it, so that nothing here would see QEMU end.
   */
  get isAbandoned(): boolean {
    const { exitCode, signalCode } = this.#child;
    return (exitCode !== null || signalCode !== null) && this.qmp.isOpen;
  }

  /**
   * Leaves QEMU to the caller's caller: from now on it goes on when this process is killed. Without a watch it does so
   * anyhow. @internal
   */
  async letOutlive(): Promise<void> {
    await this.#watch?.letGo(this.pid);
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

  /**
   * Ends QEMU if it still runs, and waits until it is gone: asks it to quit, which reaches it behind whatever program
   * has started it, and kills both when that takes longer than 2 seconds. May be called again.
   */
  async close(): Promise<void> {
    const isAsked = await this.qmp.execute('quit', undefined, { timeoutMs: QUIT_MS }).then(
      () => true,
      () => false,
    );
    // Whoever uses the connection still hears that it was closed, not that QEMU is gone.
    await this.qmp.close();
    if (isAsked) await Promise.race([this.exited, delay(QUIT_MS, undefined, { ref: false })]);
    killChild(this.#child);
    await this.exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The connection that a child has inherited. */
async function inherited(child: ChildProcess): Promise<Duplex> {
  const stream = child.stdio[QMP_FD];
  if (stream instanceof Duplex) return stream;
  throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a child process has no connection');
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

/** Says how a QEMU ended, with its last words. */
export function describeExit({ code, signal }: QemuExit, stderr: string): string {
  const how =
    signal === null ? `QEMU exited with status ${code ?? 'unknown'}` : `QEMU was killed by ${signal}`;
  const words = stderr.trim().split('\n').slice(-LAST_LINES).join('\n');
  return words === '' ? how : `${how}: ${words}`;
}
