import { binding, toMappedRamError } from './binding.ts';

/**
 * Makes ranges of a file read as zeros, as holes where the file can have them.
 * @param fd open for writing
 * @param path the file's name in errors
 * @param ranges offset and length of each range in turn, in bytes
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function zeroRanges(fd: number, path: string, ranges: readonly number[]): Promise<void> {
  const error = await binding().zeroRanges(fd, [...ranges]);
  if (error) throw toMappedRamError({ ...error, path });
}
