import { bitmapBytes, pagesIn } from '../stream/page-area.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { OpenSource } from '../io/open-source.ts';
import { bitAt, clearBit } from './bits.ts';

/** Bytes of a bitmap that are read at once: enough to be fast, too little to matter. */
const PIECE = 1 << 20;
/** Most of a large bitmap is often a hole: comparing finds that sooner than counting. */
const ZEROS = new Uint8Array(PIECE);

/** Counts the pages of a block that are in the file (docs/format.md §2.5). Bits beyond the last page do not count. */
export async function countSetPages(reader: OpenSource, block: MappedRamBlock): Promise<number> {
  let count = 0;
  for await (const piece of bitmapPieces(reader, block)) {
    if (!isZero(piece.bytes)) count += popcount(wordsOf(piece, block));
  }
  return count;
}

/** Tells of each page of a block, in order, whether it is set. Takes a turn per page, and so is for small blocks. */
export async function* pagesOf(
  reader: OpenSource,
  block: MappedRamBlock,
): AsyncGenerator<{ readonly page: number; readonly isSet: boolean }, void, void> {
  const pages = pagesIn(block.area);
  for await (const { bytes, firstPage } of bitmapPieces(reader, block)) {
    const end = Math.min(pages, firstPage + bytes.length * 8);
    for (let page = firstPage; page < end; page += 1) {
      yield { page, isSet: bitAt(bytes, page - firstPage) };
    }
  }
}

/** Yields a block's bitmap with its offset in it, in bytes. Bits beyond the last page are clear. */
export async function* bitmapOf(
  reader: OpenSource,
  block: MappedRamBlock,
): AsyncGenerator<{ readonly offset: number; readonly bytes: Uint8Array }, void, void> {
  for await (const { bytes, firstPage } of bitmapPieces(reader, block)) {
    for (let page = pagesIn(block.area); page < firstPage + bytes.length * 8; page += 1) {
      clearBit(bytes, page - firstPage);
    }
    yield { offset: firstPage / 8, bytes };
  }
}

interface BitmapPiece {
  /** The bytes of the piece, valid until the next piece comes. */
  readonly bytes: Uint8Array;
  readonly firstPage: number;
}

async function* bitmapPieces(
  reader: OpenSource,
  block: MappedRamBlock,
): AsyncGenerator<BitmapPiece, void, void> {
  if (block.skipped) return;
  const bitmapSize = bitmapBytes(block.area);
  const buffer = Buffer.alloc(Math.min(PIECE, bitmapSize));
  for (let done = 0; done < bitmapSize; done += PIECE) {
    const bytes = buffer.subarray(0, Math.min(PIECE, bitmapSize - done));
    await reader.readInto(bytes, block.area.bitmapOffset + done);
    yield { bytes, firstPage: done * 8 };
  }
}

function isZero(bytes: Uint8Array): boolean {
  return Buffer.compare(ZEROS.subarray(0, bytes.length), bytes) === 0;
}

/** The bitmap's words, with the bits beyond the last page cleared. */
function wordsOf({ bytes, firstPage }: BitmapPiece, block: MappedRamBlock): Uint32Array {
  const words = littleEndianWords(bytes);
  clearBeyond(words, pagesIn(block.area) - firstPage);
  return words;
}

function littleEndianWords(bytes: Uint8Array): Uint32Array {
  // A copy starts at an aligned address, whatever the reader gave.
  const words = new Uint32Array(new Uint8Array(bytes).buffer, 0, bytes.length >>> 2);
  if (new Uint8Array(Uint32Array.of(1).buffer)[0] === 1) return words;
  const view = new DataView(words.buffer);
  return words.map((_, index) => view.getUint32(index * 4, true));
}

function clearBeyond(words: Uint32Array, pages: number): void {
  const index = Math.floor(pages / 32);
  const last = words[index];
  if (last === undefined) return;
  words[index] = last & (2 ** (pages % 32) - 1);
  words.fill(0, index + 1);
}

function popcount(words: Uint32Array): number {
  let count = 0;
  for (const word of words) {
    if (word !== 0) count += bitsIn(word);
  }
  return count;
}

/** Counts bits by parallel sums: pairs, then nibbles, then bytes. */
function bitsIn(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
