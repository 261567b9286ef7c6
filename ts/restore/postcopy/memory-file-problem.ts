import { statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

import { pathInProcess } from '../../host/path-in-process.ts';

/** Filesystems of which QEMU takes pages back, by their numbers in linux/magic.h. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x0102_1994, 0x9584_58f6]);

/**
 * The reason why a file cannot be the memory of a guest whose pages come later: QEMU empties it first, even where it
 * maps it privately, and that would be the end of a template or a snapshot (docs/format.md §14.2). Older QEMUs do not
 * look at the filesystem themselves.
 * @param pid QEMU's process, whose paths these are; undefined for one that is to be started by this process
 * @returns undefined when the file will do
 */
export function memoryFileProblem(id: string, path: string, pid?: number): string | undefined {
  const seen = pathInProcess(pid, path);
  if (seen === undefined) return `the memory of ${id} is in ${path}, which cannot be looked at`;
  try {
    const stats = statSync(seen, { throwIfNoEntry: false });
    // QEMU makes a file that is not there, and one of its own in a directory.
    const isOurs = stats === undefined || stats.isDirectory() || (stats.isFile() && stats.blocks === 0);
    if (!isOurs) {
      return `the memory of ${id} is in ${path}, which holds something, and mode lazy would empty it`;
    }
    if (IN_MEMORY.has(statfsSync(stats === undefined ? dirname(seen) : seen).type)) return undefined;
    return `the memory of ${id} is in ${path}, which is neither on tmpfs nor on hugetlbfs: QEMU cannot take single pages there`;
  } catch {
    return `the memory of ${id} is in ${path}, which cannot be looked at`;
  }
}
