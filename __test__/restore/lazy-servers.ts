import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** The page servers that a process has started, by their process ids. A zombie is none. */
export function pageServers(of: number = process.pid): readonly number[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid)) return [];
    try {
      if (!readFileSync(`/proc/${name}/cmdline`, 'latin1').includes('postcopy/server-main')) return [];
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(parent) === of && state !== 'Z' ? [pid] : [];
    } catch {
      return [];
    }
  });
}

/** Waits for page servers other than those that are named. */
export async function nextPageServer(before: readonly number[], of?: number): Promise<number> {
  for (let tries = 0; tries < 5000; tries += 1) {
    const found = pageServers(of).find((pid) => !before.includes(pid));
    if (found !== undefined) return found;
    await delay(2);
  }
  throw new Error('no page server has come up');
}

/** Waits until no page server is left. */
export async function untilNoPageServer(of?: number): Promise<readonly number[]> {
  for (let tries = 0; tries < 500 && pageServers(of).length > 0; tries += 1) await delay(20);
  return pageServers(of);
}
