import type { RandomAccessReader } from '../stream/reader.ts';
import { bitmapBytes, pagesIn, type PageArea } from '../stream/page-area.ts';

/** Bytes of a bitmap that are read at once: the bits of 512 MiB of 4 KiB pages. */
const PIECE = 1 << 14;
/** Pieces that are kept: 4 MiB, whatever the size of the guest. */
const KEPT = 256;

/** A part of a block's bitmap (docs/format.md §2.5). */
interface BitmapPiece {
  /** Bit i of byte i / 8 is page `firstPage` + i. */
  readonly bytes: Uint8Array;
  readonly firstPage: number;
  /** The page behind the piece's last one. Bits beyond the block's last page do not count. */
  readonly endPage: number;
}

/**
 * Reads bitmaps by pieces and keeps the pieces that were used last. Keeping pages is the business of the kernel's page
 * cache.
 */
export class BitmapCache {
  readonly #reader: RandomAccessReader;
  /** Pieces by file offset; the piece used last is the last one. */
  readonly #pieces = new Map<number, Promise<Uint8Array>>();

  constructor(reader: RandomAccessReader) {
    this.#reader = reader;
  }

  /** The piece that has the bit of `page`. */
  async piece(area: PageArea, page: number): Promise<BitmapPiece> {
    const start = Math.floor(page / (PIECE * 8)) * PIECE;
    const firstPage = start * 8;
    const endPage = Math.min(firstPage + PIECE * 8, pagesIn(area));
    const bytes = await this.#read(area.bitmapOffset + start, Math.min(PIECE, bitmapBytes(area) - start));
    return { bytes, firstPage, endPage };
  }

  /** A caller that asks for a piece while it is being read waits for the same bytes. */
  #read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = this.#pieces.get(offset) ?? this.#reader.read(offset, length);
    this.#pieces.delete(offset);
    this.#pieces.set(offset, bytes);
    bytes.catch(() => {
      // A read that failed once may succeed the next time.
      if (this.#pieces.get(offset) === bytes) this.#pieces.delete(offset);
    });
    const oldest = this.#pieces.size > KEPT ? this.#pieces.keys().next() : undefined;
    if (oldest?.done === false) this.#pieces.delete(oldest.value);
    return bytes;
  }
}
