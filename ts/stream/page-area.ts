/**
 * The place of a RAM block's pages and of its bitmap in a file. All numbers are bytes, and offsets count from the
 * file's beginning (docs/format.md §2.3).
 */
export interface PageArea {
  /** Offset of the block's first page. */
  readonly pagesOffset: number;
  readonly bitmapOffset: number;
  /** Length of the pages: a multiple of the page size. */
  readonly length: number;
  readonly pageSize: number;
}

/** A RAM block by its name, with its place. */
export interface BlockArea {
  readonly id: string;
  readonly area: PageArea;
}

/** Length of a bitmap in bytes: one bit a page, whole 64-bit words (docs/format.md §2.5). */
export function bitmapBytes({ length, pageSize }: Pick<PageArea, 'length' | 'pageSize'>): number {
  return Math.ceil(length / pageSize / 64) * 8;
}

/** The number of an area's pages. */
export function pagesIn({ length, pageSize }: Pick<PageArea, 'length' | 'pageSize'>): number {
  return length / pageSize;
}

/**
 * Cuts a part out of an area.
 * @param offset of the part in the area's pages, in bytes: a multiple of 8 pages, for a bitmap has no smaller parts
 */
export function partOf(area: PageArea, offset: number, length: number): PageArea {
  const { pagesOffset, bitmapOffset, pageSize } = area;
  return {
    pagesOffset: pagesOffset + offset,
    bitmapOffset: bitmapOffset + offset / pageSize / 8,
    length,
    pageSize,
  };
}

/** Tells whether an area's pages and its bitmap all lie before the end of a file of `size` bytes. */
export function isInside(area: PageArea, size: number): boolean {
  const { pagesOffset, bitmapOffset, length } = area;
  return pagesOffset + length <= size && bitmapOffset + bitmapBytes(area) <= size;
}
