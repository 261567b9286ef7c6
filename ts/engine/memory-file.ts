import { type FileHandle, open } from 'node:fs/promises';

import { binding, toMappedRamError } from './binding.ts';

/**
 * Makes an empty file without a name in memory (memfd), which needs no directory and no room in one. It is gone with
 * its last descriptor and mapping.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO where the system has no such files
 */
export async function createMemoryFile(name: string): Promise<FileHandle> {
  const { BindingMemfd } = binding();
  const made = new BindingMemfd(name);
  try {
    const error = made.error();
    if (error) throw toMappedRamError(error);
    // Node closes a handle of its own when a worker ends.
    return await open(`/proc/self/fd/${made.fd()}`, 'r+');
  } finally {
    made.close();
  }
}
