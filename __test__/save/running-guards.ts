import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** The mark in the environment of this process and of all that it starts: it says whose they are. */
const MARK = `MAPPED_RAM_TEST_RUN=${process.pid}`;
process.env['MAPPED_RAM_TEST_RUN'] = String(process.pid);

/** Guards that this process or one of its children has started. */
export function runningGuards(): readonly number[] {
  return processes().filter(isGuard);
}

/** Dead children of this process that it has not reaped. */
export function unreapedChildren(): readonly number[] {
  return processes().filter(isZombieOfOurs);
}

/** Waits until no guard runs. @returns the guards that still run when the time is over */
export async function untilNoGuard(timeoutMs = 20_000): Promise<readonly number[]> {
  const endsAt = Date.now() + timeoutMs;
  for (;;) {
    const guards = runningGuards();
    if (guards.length === 0 || Date.now() > endsAt) return guards;
    await delay(10);
  }
}

function processes(): readonly number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

function isGuard(pid: number): boolean {
  return read(pid, 'cmdline').includes('guard-main') && read(pid, 'environ').split('\0').includes(MARK);
}

function isZombieOfOurs(pid: number): boolean {
  // The line is `pid (name) state ppid …`, and the name may hold anything.
  const stat = read(pid, 'stat');
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' && parent === String(process.pid);
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
