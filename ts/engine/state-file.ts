import { tmpdir } from 'node:os';

import { freeBytesIn } from '../host/filesystem.ts';
import { AnonymousFile } from '../io/anonymous-file.ts';
import { createMemoryFile } from './memory-file.ts';

/**
 * The largest state stream, in bytes, that goes to memory where there is another place for it: the system's directory
 * for temporary files.
 */
const SMALL = 64 * 2 ** 20;
const SHARED_MEMORY = '/dev/shm';

/**
 * Makes the file for a state stream that may have the pages of these blocks. A small one is in memory; a large one is
 * in the system's directory for temporary files, unless that has too little room. /dev/shm is the last resort: it is
 * small or missing in many containers.
 * @param inMemory true for pages that must not reach a disk: the file is in memory, however large it is
 * @throws {MappedRamError} as `AnonymousFile.create`
 */
export async function createStateFile(
  blocks: readonly { readonly length: number }[],
  inMemory = false,
): Promise<AnonymousFile> {
  const bytes = blocks.reduce((sum, { length }) => sum + length, 0);
  const temporary = tmpdir();
  if (!inMemory && bytes > SMALL && (await freeBytesIn(temporary)) >= bytes) {
    const file = await AnonymousFile.create(temporary).catch(() => undefined);
    if (file !== undefined) return file;
  }
  const handle = await createMemoryFile('mapped-ram-state').catch(() => undefined);
  if (handle !== undefined) return new AnonymousFile(handle, 'memory');
  const room = await freeBytesIn(SHARED_MEMORY);
  const isUsable = inMemory || (bytes <= SMALL && room >= bytes);
  return AnonymousFile.create(isUsable ? SHARED_MEMORY : temporary);
}
