import type { Stats } from 'node:fs';

/** Names the kind of a file, for errors about files that are something else than expected. */
export function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a fifo';
  if (stats.isSocket()) return 'a socket';
  if (stats.isBlockDevice()) return 'a block device';
  return stats.isCharacterDevice() ? 'a character device' : 'a regular file';
}
