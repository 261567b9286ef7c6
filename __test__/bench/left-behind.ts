import { existsSync, readdirSync, readFileSync } from 'node:fs';

import { descendantsOf } from '../../ts/host/process-tree.ts';

/** The folders of a process's benches in a directory. */
export function benchFolders(directory: string, pid: number | undefined): readonly string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => name.startsWith(`mapped-ram-bench-${pid}-`));
}

/** The processes below one that do the work of this package's contenders. */
export function workers(pid: number): readonly number[] {
  return descendantsOf(pid).filter((child) => {
    try {
      return readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('worker-main');
    } catch {
      return false;
    }
  });
}
