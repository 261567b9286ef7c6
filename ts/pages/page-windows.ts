import { bitmapBytes, pagesIn, type PageArea } from '../stream/page-area.ts';
import { bitAt } from './bits.ts';
import type { RandomAccessReader } from '../stream/reader.ts';

/** Bytes of a bitmap that are read at once: the bits of a GiB in pages of 4 KiB. */
const BITMAP_PIECE = 32 * 1024;
/** The most bytes of pages that are read at once. */
const WINDOW = 1 << 20;

/** Pages of a block that follow each other. */
interface PageWindow {
  readonly firstPage: number;
  readonly pages: number;
  /** Tells whether a page is in the file, by its place in the window. */
  readonly isSet: (index: number) => boolean;
  /**
   * The first page of `bytes`, by its place in the window. `bytes` is the file's content from there on, stale bytes
   * included; it is empty when no page is set.
   */
  readonly from: number;
  readonly bytes: Uint8Array;
}

/** All pages of a block in order, about a MiB at a time, with the bytes that the file has of them. */
export async function* pageWindows(
  reader: RandomAccessReader,
  area: PageArea,
): AsyncGenerator<PageWindow, void, void> {
  const { pageSize, pagesOffset, bitmapOffset } = area;
  const [total, bitmapSize] = [pagesIn(area), bitmapBytes(area)];
  // A multiple of 8 lets windows start at a byte of the bitmap.
  const most = Math.max(8, WINDOW / pageSize);
  for (let done = 0; done < bitmapSize; done += BITMAP_PIECE) {
    const bitmap = await reader.read(bitmapOffset + done, Math.min(BITMAP_PIECE, bitmapSize - done));
    const end = Math.min(total, (done + bitmap.length) * 8);
    for (let firstPage = done * 8; firstPage < end; firstPage += most) {
      const pages = Math.min(most, end - firstPage);
      const first = firstPage - done * 8;
      const isSet = (index: number): boolean => bitAt(bitmap, first + index);
      let [from, to] = [0, pages];
      while (from < to && !isSet(from)) from += 1;
      while (to > from && !isSet(to - 1)) to -= 1;
      const bytes = await reader.read(pagesOffset + (firstPage + from) * pageSize, (to - from) * pageSize);
      yield { firstPage, pages, isSet, from, bytes };
    }
  }
}
