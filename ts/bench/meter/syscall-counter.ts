import { type ChildProcess, spawn } from 'node:child_process';
import { Duplex } from 'node:stream';

import { messageOf } from '../../errors.ts';
import { killAtExit, killChild } from '../../host/kill-at-exit.ts';
import { waitWithin } from '../../host/wait-within.ts';

/** Limit in milliseconds for a counter to attach, and again to report. */
const COUNTER_MS = 10_000;
/** Descriptors of perf: commands come by one, their receipts go out by the other. */
const [PERF_COMMANDS, PERF_RECEIPTS] = [3, 4];

/** A program that counts the system calls of another process. */
export interface SyscallCounter {
  readonly program: 'perf' | 'strace';
  readonly args: (pid: number) => readonly string[];
  /** Resolves when the counter counts. */
  readonly begin: (child: CounterProcess) => Promise<void>;
  /** Finds the number in what the counter has printed; undefined when there is none. */
  readonly count: (output: string) => number | undefined;
}

/** perf slows a call by a tenth of a microsecond; strace, which stops the process twice for each, by tens of them. */
export const SYSCALL_COUNTERS: readonly SyscallCounter[] = [
  {
    program: 'perf',
    args: (pid) => [
      ...'stat -x , -e raw_syscalls:sys_enter --delay -1'.split(' '),
      `--control=fd:${PERF_COMMANDS},${PERF_RECEIPTS}`,
      `--pid=${pid}`,
    ],
    begin: async (child) => {
      const [commands, receipts] = [child.pipe(PERF_COMMANDS), child.pipe(PERF_RECEIPTS)];
      const received = new Promise<void>((resolve) => {
        receipts.once('data', () => resolve());
      });
      commands.write('enable\n');
      await received;
    },
    count: (output) => toCount(/^(\d+),[^,]*,raw_syscalls:sys_enter/m.exec(output)?.[1]),
  },
  {
    program: 'strace',
    args: (pid) => ['-f', '-c', '-p', String(pid)],
    begin: (child) => child.printed(/ attached/),
    count: (output) => toCount(/^\s*100\.00\s+\S+\s+\d+\s+(\d+)\s.*total$/m.exec(output)?.[1]),
  },
];

function toCount(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits);
}

/** A counter under way. Disposal ends it. */
export class CounterProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #counter: SyscallCounter;
  readonly #ended: Promise<void>;
  #failure: Error | undefined;
  #output = '';

  private constructor(counter: SyscallCounter, pid: number) {
    this.#counter = counter;
    this.#child = spawn(counter.program, counter.args(pid), {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    this.#child.stderr?.on('data', (text: Buffer) => {
      this.#output += text.toString('latin1');
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', (error) => {
        this.#failure = error;
        resolve();
      });
    });
    // A counter that ends early closes the pipes first; its end says more.
    for (const pipe of this.#child.stdio.slice(PERF_COMMANDS)) pipe?.on('error', () => undefined);
    if (this.#child.pid !== undefined) killAtExit(this.#child);
  }

  /**
   * Attaches a counter to a process.
   * @throws an error in words when the counter is not there, may not count, or ends
   */
  static async attach(counter: SyscallCounter, pid: number): Promise<CounterProcess> {
    const child = new CounterProcess(counter, pid);
    try {
      await child.#unlessEnded(counter.begin(child));
      return child;
    } catch (error) {
      await child[Symbol.asyncDispose]();
      throw error;
    }
  }

  pipe(fd: number): Duplex {
    const pipe = this.#child.stdio[fd];
    if (pipe instanceof Duplex) return pipe;
    throw new TypeError(`${this.#counter.program} has no pipe ${fd}`);
  }

  /** Resolves when the counter has printed such words. */
  printed(words: RegExp): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (words.test(this.#output)) resolve();
      };
      this.#child.stderr?.on('data', look);
      look();
    });
  }

  /**
   * Ends the counting.
   * @returns the number of calls; undefined when the counter does not tell
   */
  async end(): Promise<number | undefined> {
    this.#child.kill('SIGINT');
    await waitWithin(this.#ended, { timeoutMs: COUNTER_MS }, () => this.#error('does not end'));
    return this.#counter.count(this.#output);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.pid === undefined) return;
    killChild(this.#child);
    await this.#ended;
  }

  async #unlessEnded(work: Promise<void>): Promise<void> {
    const ended = this.#ended.then(() => {
      throw this.#error(this.#failure === undefined ? this.#lastWords() : messageOf(this.#failure));
    });
    ended.catch(() => undefined);
    await waitWithin(Promise.race([work, ended]), { timeoutMs: COUNTER_MS }, () =>
      this.#error('does not attach'),
    );
  }

  #lastWords(): string {
    return this.#output.trim().split('\n')[0] ?? '';
  }

  #error(words: string): Error {
    return new Error(`${this.#counter.program}: ${words}`);
  }
}
