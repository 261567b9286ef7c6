/**
 * The input of a target: a file that may be large but has few bytes. It is zero between the extents, as a hole is. The
 * later extent counts where extents overlap. Bytes beyond `size` do not count.
 */
export interface SparseInput {
  /** Size in bytes, 0 to 2^53-1. */
  readonly size: number;
  readonly extents: readonly Extent[];
}

export interface Extent {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export function denseInput(bytes: Uint8Array): SparseInput {
  return { size: bytes.length, extents: [{ offset: 0, bytes }] };
}

/**
 * Number of equal bytes in a row that become a hole: no field has as many, so they say no more than that they are
 * there.
 */
const MIN_HOLE = 64;

/** Returns the same input with holes for long runs of any one byte: the data of a page, the fill of a test's device. */
export function withHoles(input: SparseInput): SparseInput {
  return { size: input.size, extents: input.extents.flatMap((extent) => cut(extent)) };
}

function cut({ offset, bytes }: Extent): readonly Extent[] {
  const extents: Extent[] = [];
  let start = 0;
  let run = 0;
  for (let index = 1; index <= bytes.length; index += 1) {
    if (index < bytes.length && bytes[index] === bytes[run]) continue;
    if (index - run >= MIN_HOLE) {
      if (run > start) extents.push({ offset: offset + start, bytes: bytes.slice(start, run) });
      start = index;
    }
    run = index;
  }
  if (start < bytes.length) extents.push({ offset: offset + start, bytes: bytes.slice(start) });
  return extents;
}

/** Returns the number of bytes that are stored, in all extents. */
export function storedBytes({ extents }: SparseInput): number {
  return extents.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** Reads `length` bytes at `offset`, which must lie in the input. */
export function readInput({ extents }: SparseInput, offset: number, length: number): Uint8Array {
  const end = offset + length;
  const result = new Uint8Array(length);
  for (const extent of extents) {
    const from = Math.max(offset, extent.offset);
    const to = Math.min(end, extent.offset + extent.bytes.length);
    if (from < to) result.set(extent.bytes.subarray(from - extent.offset, to - extent.offset), from - offset);
  }
  return result;
}

const HEAD_BYTES = 12;
const EXTENT_BYTES = 12;

/** Encodes an input for the corpus: be64 size, be32 number of extents; each be64 offset, be32 length, bytes. */
export function encodeInput(input: SparseInput): Uint8Array {
  const { size, extents } = input;
  const encoded = new Uint8Array(HEAD_BYTES + extents.length * EXTENT_BYTES + storedBytes(input));
  const view = new DataView(encoded.buffer);
  view.setBigUint64(0, BigInt(size));
  view.setUint32(8, extents.length);
  let at = HEAD_BYTES;
  for (const { offset, bytes } of extents) {
    view.setBigUint64(at, BigInt(offset));
    view.setUint32(at + 8, bytes.length);
    encoded.set(bytes, at + EXTENT_BYTES);
    at += EXTENT_BYTES + bytes.length;
  }
  return encoded;
}

/** Decodes an input. Bytes behind the last extent are ignored. */
export function decodeInput(encoded: Uint8Array): SparseInput {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.length);
  const extents: Extent[] = [];
  let at = HEAD_BYTES;
  for (let count = view.getUint32(8); count > 0; count -= 1) {
    const offset = Number(view.getBigUint64(at));
    const length = view.getUint32(at + 8);
    const start = at + EXTENT_BYTES;
    // The copy is no Buffer: a Buffer's `slice` would be a view, through which a mutation changes its original.
    extents.push({ offset, bytes: new Uint8Array(encoded.subarray(start, start + length)) });
    at += EXTENT_BYTES + length;
  }
  return { size: Number(view.getBigUint64(0)), extents };
}
