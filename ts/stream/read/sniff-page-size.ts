import { RAM_FLAG } from '../constants.ts';
import type { RandomAccessReader } from '../reader.ts';

/** The usual size in bytes: it is tried first, for a page's content may look like a record. */
const USUAL = 4096;
const SMALLER = [256, 512, 1024, 2048];
const LARGER = [8192, 16_384, 32_768, 65_536];
const SIZES = [USUAL, ...SMALLER, ...LARGER];
/** Zero pages in a row, each so far from the one before, that speak for a larger size. */
const ENOUGH = 16;
/** Bits of a record's word that are flags in a plain stream of any page size (docs/format.md §3). */
const FLAGS = 0x100;
const LOOK = 128 * 1024;

/**
 * Tells the page size by the first pages of a block, which QEMU sends one after the other: by the length of a page that is
 * not zero, or by the distance of zero pages. A plain stream in a pipe has nothing else to tell it
 * by before its end (docs/format.md §3).
 * @param offset of the records of a RAM section
 * @returns undefined when the section has no such pages
 * @throws the reader's errors
 */
export async function sniffPageSize(reader: RandomAccessReader, offset: number): Promise<number | undefined> {
  const bytes = await reader.read(offset, Math.min(LOOK, reader.size - offset));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at: number): number =>
    at + 8 <= bytes.length ? view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4) : Number.NaN;
  let stride: number | undefined;
  let run = 0;
  for (let at = 0; ;) {
    const flags = word(at) % FLAGS;
    const place = word(at) - flags;
    const isNamed = (flags & RAM_FLAG.continue) === 0;
    const data = at + 8 + (isNamed ? 1 + (bytes[at + 8] ?? 0) : 0);
    const kind = flags & ~RAM_FLAG.continue;
    const follows = (size: number, dataLength: number): boolean => {
      const next = word(data + dataLength) - place - size - RAM_FLAG.continue;
      return next === RAM_FLAG.zero || next === RAM_FLAG.page;
    };
    if (kind === RAM_FLAG.page) return SIZES.find((size) => follows(size, size));
    if (kind !== RAM_FLAG.zero) return undefined;
    const found = SMALLER.find((size) => follows(size, 1));
    if (found !== undefined) return found;
    const larger = LARGER.find((size) => follows(size, 1));
    run = larger === stride ? run + 1 : 1;
    stride = larger;
    if (stride !== undefined && run === ENOUGH) return stride;
    at = data + 1;
  }
}
