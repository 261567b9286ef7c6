import { readdirSync, readFileSync } from 'node:fs';

/** Matches the state in /proc/PID/task/TID/stat, behind the thread's name, which may hold anything. */
const STATE = /^\d+ \(.*\) (?<state>\S) /s;
/** A thread that waits for something, one that the kernel keeps idle, and two kinds that are at their end. */
const ASLEEP = new Set(['S', 'I', 'Z', 'X']);

/**
 * Tells whether all threads of a process sleep, its first one aside. A thread that has been woken counts as awake, even
 * while it waits for a processor; so does one that waits for a disk.
 *
 * @param pid the process
 * @param except threads that do not matter, by id
 * @returns undefined when that cannot be seen
 */
export function areThreadsAsleep(pid: number, except: ReadonlySet<number>): boolean | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map(Number);
    if (![...except].every((id) => threads.includes(id))) return undefined;
    return threads
      .filter((id) => id !== pid && !except.has(id))
      .every((id) => ASLEEP.has(stateOf(pid, id) ?? 'X'));
  } catch {
    return undefined;
  }
}

/** Undefined for a thread that has ended meanwhile. */
function stateOf(pid: number, id: number): string | undefined {
  try {
    return STATE.exec(readFileSync(`/proc/${pid}/task/${id}/stat`, 'latin1'))?.groups?.['state'];
  } catch {
    return undefined;
  }
}
