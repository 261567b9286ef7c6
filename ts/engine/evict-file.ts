import { binding, toMappedRamError } from './binding.ts';

/**
 * Writes a file's dirty pages to the disk, and drops its pages from the page cache, so that the next read comes from
 * the disk. Pages that a process has mapped stay in the cache.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, also where there is no such call: it is Linux's
 */
export async function evictFile(path: string): Promise<void> {
  const error = await binding().evictFile(path);
  if (error) throw toMappedRamError(error);
}
