import { pagesIn, type PageArea } from '../stream/page-area.ts';
import { bitAt, endOfBits } from './bits.ts';
import type { BitmapCache } from './bitmap-cache.ts';

/** Adjacent pages of a block that are all in the file, or all not. Offsets and lengths are in bytes. */
export interface PageRun {
  /** Offset of the first page in the block. */
  readonly offset: number;
  readonly length: number;
  /** Offset of the pages in the file; undefined when the file lacks them: they were zero (docs/format.md §2.5). */
  readonly fileOffset: number | undefined;
}

/**
 * The runs of pages `first` to `end` of a block, in order and without gaps; neighbours differ. The bitmap decides,
 * never holes: the file may have stale bytes under a clear bit (docs/format.md §2.6).
 */
export async function* pageRuns(
  cache: BitmapCache,
  area: PageArea,
  first = 0,
  end: number = pagesIn(area),
): AsyncGenerator<PageRun, void, void> {
  const run = (from: number, to: number, isSet: boolean): PageRun => {
    const offset = from * area.pageSize;
    const length = (to - from) * area.pageSize;
    return { offset, length, fileOffset: isSet ? area.pagesOffset + offset : undefined };
  };
  let start = first;
  let isSet = false;
  for (let page = first; page < end;) {
    const { bytes, firstPage, endPage } = await cache.piece(area, page);
    const last = Math.min(end, endPage) - firstPage;
    if (page === first) isSet = bitAt(bytes, page - firstPage);
    while (page < firstPage + last) {
      page = firstPage + endOfBits(bytes, page - firstPage, last, isSet);
      // A run that reaches the end of a piece may go on in the next.
      if (page === firstPage + last) break;
      yield run(start, page, isSet);
      [start, isSet] = [page, !isSet];
    }
    if (page < end) continue;
    yield run(start, end, isSet);
  }
}
