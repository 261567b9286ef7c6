import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel's clock ticks per second where `getconf` cannot be asked: the same on every Linux in use. */
const USUAL_TICKS = 100;

/** Places of utime and stime in /proc/PID/stat, counted from the state, which follows the name in brackets. */
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;

/**
 * The CPU time of a process, with all of its threads.
 *
 * Two accounts are put together, as neither is enough. /proc/PID/stat has the threads that have ended, but in clock
 * ticks of 10 ms, rounded down for user and system each. /proc/PID/task/TID/schedstat has nanoseconds, but goes away
 * with its thread, and QEMU's channels end with the migration. So the threads are sampled; a thread that ends between
 * two samples loses what it did since the last. The sum of the samples is taken as far as the ticks allow it.
 */
export class CpuTime {
  readonly #pid: number;
  readonly #startMs: number | undefined;
  /** Nanoseconds at the start and at the last sample, by thread. */
  readonly #threads = new Map<string, { readonly start: number; last: number }>();

  /** @param from the moment from which the time counts: now, or the process's start */
  constructor(pid: number, from: 'now' | 'start' = 'now') {
    this.#pid = pid;
    this.#startMs = from === 'now' ? this.#ticksMs() : 0;
    for (const [thread, time] of this.#sampled()) {
      this.#threads.set(thread, { start: from === 'now' ? time : 0, last: time });
    }
  }

  sample(): void {
    for (const [thread, last] of this.#sampled()) {
      const known = this.#threads.get(thread);
      if (known === undefined) this.#threads.set(thread, { start: 0, last });
      else known.last = last;
    }
  }

  /** Milliseconds since that moment; undefined when the process is gone, or the system tells neither account. */
  end(): number | undefined {
    const endMs = this.#ticksMs();
    if (this.#startMs === undefined || endMs === undefined) return undefined;
    this.sample();
    const ticked = endMs - this.#startMs;
    if (this.#threads.size === 0) return ticked;
    let sum = 0;
    for (const { start, last } of this.#threads.values()) sum += last - start;
    const sampled = sum / 1e6;
    // User and system are rounded down on their own, and so are both ends.
    const slack = 2 * tickMs();
    return Math.max(ticked - slack, Math.min(sampled, ticked + slack), 0);
  }

  #ticksMs(): number | undefined {
    const stat = read(`/proc/${this.#pid}/stat`);
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields?.[USER_TICKS]) + Number(fields?.[SYSTEM_TICKS]);
    return Number.isNaN(ticks) ? undefined : ticks * tickMs();
  }

  *#sampled(): Iterable<readonly [string, number]> {
    const tasks = `/proc/${this.#pid}/task`;
    for (const thread of list(tasks)) {
      const nanoseconds = read(`${tasks}/${thread}/schedstat`)?.split(' ')[0];
      if (nanoseconds !== undefined && nanoseconds !== '') yield [thread, Number(nanoseconds)];
    }
  }
}

let knownTickMs: number | undefined;

/** Milliseconds of a clock tick. */
function tickMs(): number {
  knownTickMs ??= 1000 / ticksPerSecond();
  return knownTickMs;
}

function ticksPerSecond(): number {
  try {
    const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'latin1' }));
    return ticks > 0 ? ticks : USUAL_TICKS;
  } catch {
    // A small system has no getconf.
    return USUAL_TICKS;
  }
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
