import type { Extent, SparseInput } from '../../fuzz/sparse-input.ts';
import {
  readStreamIndex,
  walkStream,
  type ByteRange,
  type RandomAccessReader,
} from '../../ts/stream/index.ts';

const MAX_MARKED = 64;
const MARK_BYTES = 8;
/** Matches the blocks that stay whole: ACPI tables, which QEMU makes, tell what is where in memory. */
const KEPT = /acpi|table-loader/;
const PIECE = 1 << 20;
/** The page size of all these guests, in bytes. */
const PAGE = 4096;

/**
 * QEMU's file with holes in place of its pages' data, and with a mark at the beginning of some. All else stays as it
 * is: headers, bitmaps, device state, the libvirt header and what follows the stream.
 * @param base the offset in the file at which the stream begins
 */
export async function reduceSnapshot(reader: RandomAccessReader, base = 0): Promise<SparseInput> {
  const holes = (await pageAreas(reader, base)).toSorted((left, right) => left.offset - right.offset);
  const extents: Extent[] = [];
  let at = 0;
  for (const { offset, length } of [...holes, { offset: reader.size, length: 0 }]) {
    for (; at < offset; at += PIECE) {
      const bytes = await reader.read(at, Math.min(PIECE, offset - at));
      extents.push(...withoutZeros(at, bytes));
    }
    at = offset + length;
  }
  for (const [place, area] of holes.entries()) extents.push(...(await marks(reader, area, place)));
  return { size: reader.size, extents };
}

async function pageAreas(reader: RandomAccessReader, base: number): Promise<readonly ByteRange[]> {
  const { ram } = await readStreamIndex(reader, { offset: base });
  if (ram === undefined) return [];
  if (ram.form === 'mapped-ram') {
    return ram.blocks
      .filter(({ id, area }) => !KEPT.test(id) && area.pagesOffset < reader.size)
      .map(({ area: { pagesOffset, length } }) => ({
        offset: pagesOffset,
        length: Math.min(length, reader.size - pagesOffset),
      }));
  }
  const areas: ByteRange[] = [];
  for await (const record of walkStream(reader, { offset: base })) {
    if (record.type === 'ram-page' && record.kind === 'page' && !KEPT.test(record.block))
      areas.push({ offset: record.dataOffset, length: record.dataLength });
  }
  return areas;
}

/** Marks for the first pages of an area that have data: a number for the area, and the sum of the page's bytes. */
async function marks(
  reader: RandomAccessReader,
  { offset, length }: ByteRange,
  place: number,
): Promise<readonly Extent[]> {
  const extents: Extent[] = [];
  for (let page = 0; page < length / PAGE && extents.length < MAX_MARKED; page += 1) {
    const at = offset + page * PAGE;
    const data = await reader.read(at, Math.min(PAGE, reader.size - at));
    if (data.every((byte) => byte === 0)) continue;
    const bytes = new Uint8Array(MARK_BYTES);
    new DataView(bytes.buffer).setUint32(0, place + 1);
    new DataView(bytes.buffer).setUint32(
      4,
      data.reduce((sum, byte) => sum + byte, 0),
    );
    extents.push({ offset: at, bytes });
  }
  return extents;
}

const MIN_HOLE = 64;

/** The parts of `bytes` between long runs of zeros. */
function withoutZeros(offset: number, bytes: Uint8Array): readonly Extent[] {
  const extents: Extent[] = [];
  let [start, zeros] = [0, 0];
  const close = (end: number): void => {
    if (end > start) extents.push({ offset: offset + start, bytes: bytes.slice(start, end) });
  };
  for (let at = 0; at <= bytes.length; at += 1) {
    if (bytes[at] === 0) {
      zeros += 1;
      continue;
    }
    if (zeros >= MIN_HOLE || at === bytes.length) {
      close(at - zeros);
      start = at;
    }
    zeros = 0;
  }
  return extents;
}
