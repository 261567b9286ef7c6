/** The ways in which a page can differ. A page that reads as zeros is a zero page, even when the file holds it. */
export type PageDifference = 'changed' | 'became-zero' | 'became-data';

/** Counts of pages by the way in which they differ. */
export interface PageCounts {
  readonly changed: number;
  readonly becameZero: number;
  readonly becameData: number;
}

/** Indexed by the two bits that the engine writes for a page. */
const DIFFERENCES = [undefined, 'changed', 'became-zero', 'became-data'] as const;
const PAGES_IN_BYTE = 4;
/** The byte for four pages that are alike, indexed by the bits of one. */
const ALIKE = [0x00, 0x55, 0xaa, 0xff];
const ZEROS = new Uint8Array(1 << 12);
const PAGES_IN_CHUNK = PAGES_IN_BYTE * ZEROS.length;

const [CHANGED, BECAME_ZERO, BECAME_DATA] = [countsOf(1), countsOf(2), countsOf(3)];

/** The number of pages in a byte with these bits, for each byte value. */
function countsOf(bits: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    [0, 2, 4, 6].reduce((count, shift) => count + (((byte >>> shift) & 3) === bits ? 1 : 0), 0),
  );
}

/** The differences of a block's pages, as the engine found them. */
export class PageDifferences {
  readonly #bytes: Uint8Array;
  readonly #pages: number;

  /**
   * @param bytes two bits a page, four pages a byte, the first page lowest; bits beyond the last page are 0
   */
  constructor(bytes: Uint8Array, pages: number) {
    this.#bytes = bytes;
    this.#pages = pages;
  }

  /** Counts the pages from `start` up to, but not including, `end`. */
  count(start: number, end: number): PageCounts {
    const last = Math.min(end, this.#pages);
    let [changed, becameZero, becameData] = [0, 0, 0];
    let page = start;
    while (page < last) {
      page = this.#skipEqual(page, last);
      const isWhole = page % PAGES_IN_BYTE === 0 && page + PAGES_IN_BYTE <= last;
      const byte = isWhole ? (this.#bytes[page / PAGES_IN_BYTE] ?? 0) : this.#bitsOf(page);
      page += isWhole ? PAGES_IN_BYTE : 1;
      if (byte === 0) continue;
      changed += CHANGED[byte] ?? 0;
      becameZero += BECAME_ZERO[byte] ?? 0;
      becameData += BECAME_DATA[byte] ?? 0;
    }
    return { changed, becameZero, becameData };
  }

  /** Yields runs of adjacent pages that differ alike, in order. */
  *runs(): Generator<{ readonly kind: PageDifference; readonly page: number; readonly pages: number }> {
    let page = 0;
    while (page < this.#pages) {
      const bits = this.#bitsOf(page);
      const end = this.#endOfRun(page, bits);
      const kind = DIFFERENCES[bits];
      if (kind !== undefined) yield { kind, page, pages: end - page };
      page = end;
    }
  }

  /** Moves on by whole bytes where all four pages belong to the run. */
  #endOfRun(start: number, bits: number): number {
    const alike = ALIKE[bits];
    let page = start + 1;
    while (page < this.#pages) {
      if (bits === 0) page = this.#skipEqual(page, this.#pages);
      if (page % PAGES_IN_BYTE === 0 && this.#bytes[page / PAGES_IN_BYTE] === alike) page += PAGES_IN_BYTE;
      else if (this.#bitsOf(page) === bits) page += 1;
      else break;
    }
    return Math.min(page, this.#pages);
  }

  /**
   * Skips whole chunks of equal pages, which large blocks have many of: one comparison is faster than a look at each
   * byte.
   */
  #skipEqual(start: number, end: number): number {
    let page = start;
    while (page % PAGES_IN_CHUNK === 0 && page + PAGES_IN_CHUNK < end) {
      const at = page / PAGES_IN_BYTE;
      if (Buffer.compare(ZEROS, this.#bytes.subarray(at, at + ZEROS.length)) !== 0) break;
      page += PAGES_IN_CHUNK;
    }
    return page;
  }

  #bitsOf(page: number): number {
    const byte = this.#bytes[Math.floor(page / PAGES_IN_BYTE)] ?? 0;
    return (byte >>> (2 * (page % PAGES_IN_BYTE))) & 3;
  }
}
