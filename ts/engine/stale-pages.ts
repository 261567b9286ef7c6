import { binding, toMappedRamError } from './binding.ts';
import type { BlockArea } from '../stream/page-area.ts';
import type { PlainPage } from '../stream/write/assemble.ts';

/** Pages of a block whose bits are clear although the file holds data in their place. */
export interface StalePages {
  readonly block: BlockArea;
  /** First page and number of pages of each run, in turn. */
  readonly runs: readonly number[];
  /** Bytes that the search had to read: many when somebody filled the file's holes. */
  readonly bytesRead: number;
}

/**
 * Finds stale pages: a live save leaves them behind (docs/format.md §2.6), and a mapping of the file would show them to
 * the guest. The search does not read holes.
 *
 * @param fd the snapshot, open for reading
 * @param path the snapshot's name in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_TRUNCATED
 */
export async function findStalePages(fd: number, path: string, block: BlockArea): Promise<StalePages> {
  const found = await binding().findStalePages(fd, block.id, block.area);
  if (found.error) throw toMappedRamError({ ...found.error, path });
  return { block, runs: found.runs, bytesRead: found.bytesRead };
}

/** Turns stale pages into zero pages for a state stream. */
export function* zeroPagesOf({ block, runs }: StalePages): Generator<PlainPage, void, void> {
  for (let index = 0; index + 1 < runs.length; index += 2) {
    const first = runs[index] ?? 0;
    const count = runs[index + 1] ?? 0;
    for (let page = first; page < first + count; page += 1) {
      yield { block: block.id, offset: page * block.area.pageSize, source: 'zero' };
    }
  }
}
