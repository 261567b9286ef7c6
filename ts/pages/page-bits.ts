import { bitAt, clearBit, runsOfBits, setBit } from './bits.ts';

/** Pages that one piece of the bits covers: 128 MiB of guest memory in pages of 4 KiB. */
const PIECE_PAGES = 32_768;

/**
 * One bit a page, in the order of a bitmap in a file (docs/format.md §2.5). Memory is taken only where bits were set,
 * so that the length that a stream claims for a block allocates nothing.
 */
export class PageBits {
  readonly #pieces: Map<number, Uint8Array> = new Map();

  has(page: number): boolean {
    const piece = this.#pieces.get(Math.floor(page / PIECE_PAGES));
    if (piece === undefined) return false;
    return bitAt(piece, page % PIECE_PAGES);
  }

  set(page: number): void {
    const index = Math.floor(page / PIECE_PAGES);
    let piece = this.#pieces.get(index);
    if (piece === undefined) {
      piece = new Uint8Array(PIECE_PAGES / 8);
      this.#pieces.set(index, piece);
    }
    setBit(piece, page % PIECE_PAGES);
  }

  clear(page: number): void {
    const piece = this.#pieces.get(Math.floor(page / PIECE_PAGES));
    if (piece !== undefined) clearBit(piece, page % PIECE_PAGES);
  }

  /** Counts the bits that are set. */
  count(): number {
    let count = 0;
    for (const { length } of this.runs()) count += length;
    return count;
  }

  /** The bits as bytes, with their byte offset in the bitmap. Pieces that are not yielded are zero. */
  *pieces(): Generator<{ readonly offset: number; readonly bytes: Uint8Array }, void, void> {
    for (const [index, bytes] of this.#sorted()) yield { offset: (index * PIECE_PAGES) / 8, bytes };
  }

  /** The runs of set bits in order; a run that crosses a piece's border comes in two. */
  *runs(): Generator<{ readonly page: number; readonly length: number }, void, void> {
    for (const [index, bytes] of this.#sorted()) {
      const first = index * PIECE_PAGES;
      for (const { start, end } of runsOfBits(bytes, PIECE_PAGES)) {
        yield { page: first + start, length: end - start };
      }
    }
  }

  #sorted(): readonly (readonly [number, Uint8Array])[] {
    return [...this.#pieces].toSorted(([left], [right]) => left - right);
  }
}

/** Makes a test of whether all bytes of a page of this size are zero: as fast as memory is compared. */
export function zeroTest(pageSize: number): (page: Uint8Array) => boolean {
  const zeros = new Uint8Array(pageSize);
  return (page) => Buffer.compare(page, zeros) === 0;
}
