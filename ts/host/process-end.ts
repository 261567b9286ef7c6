import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import { systemCode } from '../errors.ts';

/** Milliseconds between two looks at a process. */
const POLL_MS = 20;

/** The exit code's place in /proc/PID/stat, counted from the state, which follows the name in brackets. */
const EXIT_CODE = 49;

/**
 * Waits for the end of a process that is no child of this one, and says how it ended: `was killed by SIGKILL`, `exited
 * with status 1`, `has ended` where the system does not tell. Undefined when it still runs after that time.
 * @param limitMs milliseconds
 */
export async function endOfProcess(pid: number, limitMs: number): Promise<string | undefined> {
  for (const until = performance.now() + limitMs; ; await delay(POLL_MS)) {
    const end = endNow(pid);
    if (end !== undefined || performance.now() >= until) return end;
  }
}

/** Says how a process ended; undefined while it runs. */
function endNow(pid: number): string | undefined {
  if (!exists(pid)) return 'has ended';
  const stat = statOf(pid);
  // The name may hold brackets and spaces itself.
  const words = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  // A zombie: its parent has not asked for its end yet. Only its owner sees the exit code; others see 0.
  if (words[0] !== 'Z' && words[0] !== 'X') return undefined;
  const status = Number(words[EXIT_CODE] ?? 0);
  const signal = status & 0x7f;
  if (signal !== 0) return `was killed by ${signalName(signal)}`;
  return status === 0 ? 'has ended' : `exited with status ${status >> 8}`;
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // A process of somebody else exists all the same.
    return systemCode(error) === 'EPERM';
  }
}

function statOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
}

/** The name of a signal by its number: 9 is SIGKILL. */
function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
