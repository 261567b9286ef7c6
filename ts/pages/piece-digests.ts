import { MappedRamError } from '../errors.ts';
import { DIGEST_BYTES, digestBytes, digestRanges } from '../engine/digest.ts';
import { transferFile, type BlockPieces } from '../engine/transfer.ts';
import type { OpenSource } from '../io/open-source.ts';
import { truncated, type ByteRange } from '../stream/reader.ts';
import { setBit } from './bits.ts';
import { zeroTest } from './page-bits.ts';

/** The most bytes that are read of a source without a file to make one digest: the bitmaps of 32 TiB of memory. */
const MAX_STRETCHES = 2 ** 30;
const READ = 1 << 20;

/**
 * The digests of pieces of blocks, as the engine makes them. A digest is of the piece's pages that are not zero, in
 * order, and of a bitmap of these pages behind them (docs/verify.md).
 */
export class PieceDigests {
  readonly #pieceSize: number;
  readonly #pageSize: number;
  readonly #isZero: (page: Uint8Array) => boolean;
  /** The pieces of each block: where a piece starts, and its digest. */
  readonly #found: readonly (readonly [number, Uint8Array])[][];

  constructor(blocks: number, pieceSize: number, pageSize: number) {
    this.#pieceSize = pieceSize;
    this.#pageSize = pageSize;
    this.#isZero = zeroTest(pageSize);
    this.#found = Array.from({ length: blocks }, () => []);
  }

  /** @param bytes whole pieces, where pages that are not in the snapshot are zero */
  add(block: number, offset: number, bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length; start += this.#pieceSize) {
      const digest = this.#digest(bytes.subarray(start, start + this.#pieceSize));
      if (digest !== undefined) this.#found[block]?.push([offset + start, digest]);
    }
  }

  take(): readonly BlockPieces[] {
    return this.#found.map((pieces) => {
      const sorted = pieces.toSorted(([left], [right]) => left - right);
      const digests = new Uint8Array(sorted.length * DIGEST_BYTES);
      for (const [index, [, digest]] of sorted.entries()) digests.set(digest, index * DIGEST_BYTES);
      return { offsets: sorted.map(([offset]) => offset), digests };
    });
  }

  /** The digest of a piece; undefined when all of its pages are zero. */
  #digest(piece: Uint8Array): Uint8Array | undefined {
    const pages = piece.length / this.#pageSize;
    const present = new Uint8Array(Math.ceil(pages / 8));
    const parts: Uint8Array[] = [];
    for (let page = 0; page < pages; page += 1) {
      const bytes = piece.subarray(page * this.#pageSize, (page + 1) * this.#pageSize);
      if (this.#isZero(bytes)) continue;
      setBit(present, page);
      parts.push(bytes);
    }
    return parts.length === 0 ? undefined : digestBytes(Buffer.concat([...parts, present]));
  }
}

/** The source that stretches are read from: an `OpenSource` will do. */
export type StretchSource = Pick<OpenSource, 'name' | 'size' | 'file' | 'readInto'>;

/**
 * The BLAKE3 of stretches of a source, one after the other.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} as `digestRanges`; ERR_MAPPED_RAM_UNSUPPORTED for more than a GiB of a source without a file
 */
export async function digestStretches(
  source: StretchSource,
  ranges: readonly ByteRange[],
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (source.file !== undefined) return digestRanges(transferFile(source.file), ranges, signal);
  const total = ranges.reduce((sum, { length }) => sum + length, 0);
  // The check comes before the allocation: a lying length must not size it.
  for (const { offset, length } of ranges) {
    if (offset + length > source.size) throw truncated(source.name, offset, length, source.size);
  }
  if (total > MAX_STRETCHES) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_UNSUPPORTED',
      'bytes outside of pages, for a digest without a file',
      {
        path: source.name,
        expected: `at most ${MAX_STRETCHES}`,
        found: total,
      },
    );
  }
  const bytes = new Uint8Array(total);
  let done = 0;
  for (const { offset, length } of ranges) {
    for (let at = 0; at < length; at += READ) {
      signal?.throwIfAborted();
      const part = bytes.subarray(done, done + Math.min(READ, length - at));
      await source.readInto(part, offset + at);
      done += part.length;
    }
  }
  return digestBytes(bytes);
}
