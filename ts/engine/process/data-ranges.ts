import { binding, toMappedRamError } from '../binding.ts';

/**
 * Finds the parts of a memory file that may hold data: a page of shared memory that nobody has touched does not exist, and
 * reads as zeros.
 *
 * @param fd the file, open for reading
 * @param path the file's name in errors
 * @param part offset and length in the file, in bytes
 * @param unit runs begin and end at multiples of this many bytes from the part's start, or at its end
 * @returns offset and length of each run in turn, in bytes from the part's start; ascending and apart
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; ERR_MAPPED_RAM_TRUNCATED when the file ends before
 */
export async function dataRanges(
  fd: number,
  path: string,
  part: { readonly offset: number; readonly length: number },
  unit: number,
): Promise<Float64Array> {
  const { error, runs } = await binding().dataRanges(fd, part.offset, part.length, unit);
  if (error !== undefined) throw toMappedRamError({ ...error, path });
  return Float64Array.from(runs);
}
