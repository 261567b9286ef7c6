import type { OpenSource } from '../io/open-source.ts';
import type { PageArea } from '../stream/page-area.ts';
import type { ByteRange } from '../stream/reader.ts';
import type { BitmapCache } from './bitmap-cache.ts';
import { pageRuns } from './page-runs.ts';

/** The largest gap, in bytes, between runs that are read at once: reading a gap costs less than another request. */
const MAX_GAP = 1 << 16;

/** Counts the bytes of stretches. */
export function bytesIn(stretches: readonly ByteRange[]): number {
  return stretches.reduce((sum, { length }) => sum + length, 0);
}

/**
 * Reads a part of a block into a buffer that is all zero: the pages that the source has.
 * @param offset where the part starts in the block, in bytes
 * @returns the runs of pages that are in the source, as stretches of the buffer
 */
export async function fillPages(
  reader: OpenSource,
  cache: BitmapCache,
  area: PageArea,
  bytes: Uint8Array,
  offset: number,
): Promise<readonly ByteRange[]> {
  const { pageSize, pagesOffset } = area;
  const end = offset + bytes.length;
  const runs: ByteRange[] = [];
  /**
   * The stretch to read at once, as offsets in the block. `gaps` are the clear pages in it, whose bytes do not count.
   */
  let from = 0;
  let to = 0;
  let gaps: Uint8Array[] = [];
  const flush = async (): Promise<void> => {
    if (to > from) {
      await reader.readInto(bytes.subarray(from - offset, to - offset), pagesOffset + from);
    }
    for (const gap of gaps) gap.fill(0);
    [from, to, gaps] = [end, end, []];
  };
  for await (const run of pageRuns(cache, area, Math.floor(offset / pageSize), Math.ceil(end / pageSize))) {
    if (run.fileOffset === undefined) continue;
    const start = Math.max(run.offset, offset);
    if (to > from && start - to <= MAX_GAP) gaps.push(bytes.subarray(to - offset, start - offset));
    else {
      await flush();
      from = start;
    }
    to = Math.min(run.offset + run.length, end);
    runs.push({ offset: start - offset, length: to - start });
  }
  await flush();
  return runs;
}
