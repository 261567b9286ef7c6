import { MappedRamError } from '../errors.ts';
import { binding, toMappedRamError } from './binding.ts';
import type { ByteRange } from '../stream/reader.ts';

/** What the page cache has of a file, in bytes: whole pages of the system. */
export interface PageCacheState {
  readonly cachedBytes: number;
  /** The part that was written and is not on its way to the disk yet; undefined where nobody tells. */
  readonly dirtyBytes: number | undefined;
  /** The part that is on its way to the disk; undefined where nobody tells. */
  readonly writebackBytes: number | undefined;
  /** The system call that told: cachestat(2), since Linux 6.5, else mincore(2), which knows no dirty pages. */
  readonly source: 'cachestat' | 'mincore';
}

/**
 * What the page cache has of a file.
 * @param file its path, or a descriptor of it
 * @param range in bytes; default: the whole file
 * @returns undefined where nobody tells: on other systems than Linux, for a file on hugetlbfs, and for one that this
 *   process may not write
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the file cannot be opened; ERR_MAPPED_RAM_INVALID_ARGUMENT for a range
 *   that is none
 */
export function pageCacheState(file: string | number, range?: ByteRange): PageCacheState | undefined {
  const [path, fd] = typeof file === 'string' ? [file] : [undefined, file];
  const { offset = 0, length = Number.MAX_SAFE_INTEGER - offset } = range ?? {};
  assertBytes('offset', offset);
  assertBytes('length', length);
  const state = binding().pageCacheState(path, fd, offset, offset + length);
  if (state.error) throw toMappedRamError(state.error);
  const { cachedBytes, dirtyBytes, writebackBytes, source } = state;
  if (cachedBytes === undefined || source === undefined) return undefined;
  return { cachedBytes, dirtyBytes, writebackBytes, source };
}

/**
 * Makes a file durable, and drops it from the page cache, so that it is read from the disk next. Pages that somebody
 * has mapped stay, and so does a file that has no other place than memory.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the file cannot be opened or written back, and on other systems than
 *   Linux
 */
export async function dropPageCache(path: string): Promise<void> {
  const error = await binding().dropPageCache(path);
  if (error) throw toMappedRamError(error);
}

/**
 * Has the kernel read ranges of a file into the page cache, in their order. Settles when the disk has been asked for all
 * of them.
 * @param fd open for reading
 * @param path the file's name in errors
 * @param ranges offset and length of each range in turn, in bytes
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, and on other systems than Linux
 */
export async function readAhead(fd: number, path: string, ranges: readonly number[]): Promise<void> {
  const error = await binding().readAhead(fd, [...ranges]);
  if (error) throw toMappedRamError({ ...error, path });
}

function assertBytes(name: string, found: number): void {
  if (Number.isSafeInteger(found) && found >= 0) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
    expected: 'a whole number of bytes, 0 or more',
    found,
  });
}
