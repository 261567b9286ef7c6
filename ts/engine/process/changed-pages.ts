import { byteCount } from '../../io/byte-count.ts';
import { assertWord, assertWords } from '../../io/option-words.ts';
import { MappedRamError } from '../../errors.ts';
import { binding, toMappedRamError } from '../binding.ts';

/**
 * Pages of a process's memory, as the kernel tells them apart.
 * - `present`: they exist, in memory or in swap; of anonymous memory, a page that does not exist reads as zeros.
 * - `data`: those of `present` that may hold something else than zeros. Where the kernel has PAGEMAP_SCAN, pages that were
 *   only read are left out; elsewhere this is `present`.
 * - `changed`: pages of a private mapping of a file that do not show the file any more.
 * - `all`: all of them, without asking.
 */
export type ProcessPages = (typeof PROCESS_PAGES)[number];
export const PROCESS_PAGES = ['present', 'data', 'changed', 'all'] as const;

/** The way to look for pages: PAGEMAP_SCAN (Linux 6.7), or /proc/PID/pagemap. Only `auto` falls back. */
export type ScanMethod = (typeof SCAN_METHODS)[number];
export const SCAN_METHODS = ['auto', 'scan', 'pagemap'] as const;

/** A part of a process's memory. */
export interface ProcessRange {
  /** Address in the process's address space. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
}

export interface ScanOptions {
  /** @default 'auto' */
  readonly method?: ScanMethod | undefined;
  /** Runs begin and end at multiples of this many bytes from the start of their range, or at its end. @default 1 */
  readonly unit?: number | undefined;
}

/** The reasons, in words, why this process may not look into another one; undefined where it may. */
export interface ProcessRights {
  /** The page map, which tells which pages there are. */
  readonly pagemap: string | undefined;
  /** The memory itself. */
  readonly memory: string | undefined;
}

/**
 * Finds pages of a process that stands still. The work is done off the event loop; it takes up to 13 ms for each GiB with
 * many changed pages, and next to nothing for memory that was never touched.
 *
 * @returns of each range, offset and length of each run in turn, in bytes from the start of the range; ascending, whole
 *   pages of the host, adjacent ones joined
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT; ERR_MAPPED_RAM_TRUNCATED when nothing is mapped at an address,
 *   or the process has ended; ERR_MAPPED_RAM_IO when this process may not look; ERR_MAPPED_RAM_UNSUPPORTED on other
 *   systems than Linux, and for the method `scan` on an old kernel
 */
export async function changedPages(
  pid: number,
  ranges: readonly ProcessRange[],
  pages: ProcessPages,
  options: ScanOptions = {},
): Promise<readonly Float64Array[]> {
  assertPid(pid);
  assertWord('pages', pages, PROCESS_PAGES);
  assertWords(options, { method: SCAN_METHODS });
  const places = Float64Array.from(ranges.flatMap(({ address, length }) => [address, length]));
  const { method = 'auto', unit = 1 } = options;
  const { BindingPageSearch } = binding();
  const search = new BindingPageSearch(pid, places, pages, method, byteCount('unit', unit));
  const { error, runs } = await search.run();
  if (error !== undefined) throw toMappedRamError(error);
  return runs;
}

/**
 * Asks whether this process may look into another one, by reading a page of it.
 *
 * @param address any that is mapped in that process
 * @returns undefined when it may
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export async function mayReadProcess(pid: number, address: number): Promise<ProcessRights | undefined> {
  assertPid(pid);
  const { error, pagemap, memory } = await binding().processRights(pid, byteCount('address', address));
  if (error !== undefined) throw toMappedRamError(error);
  return pagemap === undefined && memory === undefined ? undefined : { pagemap, memory };
}

/** Node-API would bend other values into a number. @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT */
export function assertPid(pid: number): void {
  if (Number.isInteger(pid) && pid > 0 && pid < 2 ** 31) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'pid', {
    expected: 'the number of a process',
    found: pid,
  });
}
