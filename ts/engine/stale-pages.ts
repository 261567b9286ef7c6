import { binding, toMappedRamError } from './binding.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { PlainPage } from '../stream/write/assemble.ts';

/** Pages of a block whose bits are clear although the file holds something else there. */
export interface StalePages {
  readonly block: MappedRamBlock;
  /** First page and number of pages of each run, in turn. */
  readonly runs: readonly number[];
  /** Bytes that had to be read to find them: much when somebody filled the file's holes. */
  readonly bytesRead: number;
}

/**
 * Finds them: a live save leaves them behind (docs/format.md §2.6), and a mapping of the file would show them to the
 * guest. Holes are not read.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_TRUNCATED
 */
export async function findStalePages(snapshot: Snapshot, block: MappedRamBlock): Promise<StalePages> {
  const { id: name, pagesOffset, bitmapOffset, length, targetPageSize: pageSize } = block;
  const found = await binding.findStalePages(snapshot.reader.fd, {
    name,
    pagesOffset,
    bitmapOffset,
    length,
    pageSize,
  });
  if (found.error) throw toMappedRamError({ ...found.error, path: snapshot.path });
  return { block, runs: found.runs, bytesRead: found.bytesRead };
}

/** As zero pages for the state stream. */
export function* zeroPagesOf({ block, runs }: StalePages): Generator<PlainPage, void, void> {
  for (let index = 0; index + 1 < runs.length; index += 2) {
    const first = runs[index] ?? 0;
    const count = runs[index + 1] ?? 0;
    for (let page = first; page < first + count; page += 1) {
      yield { block: block.id, offset: page * block.targetPageSize, source: 'zero' };
    }
  }
}
