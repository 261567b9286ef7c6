import { pagesIn, type BlockArea } from '../stream/page-area.ts';
import type { BitmapCache } from './bitmap-cache.ts';

/** Adjacent pages of a block that are all in the file, or all not. In bytes. */
export interface PageRun {
  /** Of the first page in the block. */
  readonly offset: number;
  readonly length: number;
  /** Where the pages lie in the file; undefined when they are not there: they were zero (docs/format.md §2.5). */
  readonly fileOffset: number | undefined;
}

/**
 * The runs of pages `first` to `end` of a block, in order and without gaps; neighbours differ. By the bitmap, never by
 * holes: the file may have stale bytes under a clear bit (docs/format.md §2.6).
 */
export async function* pageRuns(
  cache: BitmapCache,
  block: BlockArea,
  first = 0,
  end: number = pagesIn(block.area),
): AsyncGenerator<PageRun, void, void> {
  const run = (from: number, to: number, isSet: boolean): PageRun => {
    const offset = from * block.area.pageSize;
    const length = (to - from) * block.area.pageSize;
    return { offset, length, fileOffset: isSet ? block.area.pagesOffset + offset : undefined };
  };
  let start = first;
  let isSet = false;
  for (let page = first; page < end;) {
    const { bytes, firstPage, endPage } = await cache.piece(block, page);
    const last = Math.min(end, endPage) - firstPage;
    if (page === first) isSet = bitAt(bytes, page - firstPage);
    while (page < firstPage + last) {
      page = firstPage + endOfRun(bytes, page - firstPage, last, isSet);
      // At the end of a piece the run may go on in the next.
      if (page === firstPage + last) break;
      yield run(start, page, isSet);
      [start, isSet] = [page, !isSet];
    }
    if (page < end) continue;
    yield run(start, end, isSet);
  }
}

/** The first bit from `from` on, before `end`, that differs; `end` when there is none. */
function endOfRun(bytes: Uint8Array, from: number, end: number, isSet: boolean): number {
  const whole = isSet ? 0xff : 0;
  let at = from;
  while (at < end) {
    if (at % 8 === 0 && bytes[at >>> 3] === whole) at += 8;
    else if (bitAt(bytes, at) === isSet) at += 1;
    else return at;
  }
  return end;
}

function bitAt(bytes: Uint8Array, bit: number): boolean {
  return (((bytes[bit >>> 3] ?? 0) >>> (bit & 7)) & 1) === 1;
}
