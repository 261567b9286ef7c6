import { readSync, statfsSync } from 'node:fs';

import { ioError } from './fd-io.ts';

/** The magic number of tmpfs, which memory files are on, too (linux/magic.h). */
const TMPFS = 0x01021994;
/** The most bytes that are copied while everything else in this process waits: some 50 µs of it. */
const MOST = 256 * 1024;

/** Tells whether a file is in memory. */
export function isInMemory(fd: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    return statfsSync(`/proc/self/fd/${fd}`).type === TMPFS;
  } catch {
    return false;
  }
}

/**
 * Reads of a file in memory on the spot, if they are short: a thread of the pool takes longer to begin than the read.
 * @returns the number of bytes read, fewer than asked for at the file's end; undefined for what takes longer
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export function readMemory(fd: number, path: string, bytes: Uint8Array, offset: number): number | undefined {
  if (bytes.length > MOST) return undefined;
  let done = 0;
  try {
    while (done < bytes.length) {
      const count = readSync(fd, bytes, done, bytes.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  } catch (cause) {
    throw ioError('cannot read the file', path, cause, offset + done);
  }
}
