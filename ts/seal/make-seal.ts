import type { BlockArea } from '../stream/page-area.ts';
import type { BlockPieces } from '../engine/transfer.ts';
import { digestStretches, type StretchSource } from '../pages/piece-digests.ts';
import { PIECE_SIZE, type Seal } from './seal.ts';
import type { ByteRange } from '../stream/reader.ts';

/** A complete snapshot whose pieces have their digests. */
export interface SealPart {
  /** The snapshot; everything but its pages is read. */
  readonly source: StretchSource;
  readonly base: number;
  readonly size: number;
  readonly pageSize: number;
  readonly blocks: readonly BlockArea[];
  /** The pieces of each block, of `PIECE_SIZE` bytes. */
  readonly pieces: readonly BlockPieces[];
}

/**
 * Makes the seal of a snapshot, and reads everything but pages for it.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_TRUNCATED
 */
export async function makeSeal(part: SealPart, signal: AbortSignal | undefined): Promise<Seal> {
  const { source, base, size, pageSize, pieces } = part;
  const blocks = part.blocks.map(({ id, area }, index) => {
    const { offsets, digests } = pieces[index] ?? { offsets: [], digests: new Uint8Array() };
    return { id, area, offsets, digests };
  });
  const metadata = await digestStretches(source, metadataRanges(base, size, blocks), signal);
  return { pageSize, pieceSize: PIECE_SIZE, base, size, metadata, blocks };
}

/**
 * The stretches of a snapshot outside of page areas: headers, bitmaps, padding, device state, vmdescription, and the
 * bytes behind.
 */
export function metadataRanges(
  base: number,
  size: number,
  blocks: readonly BlockArea[],
): readonly ByteRange[] {
  const ranges: ByteRange[] = [];
  let position = base;
  const areas = blocks.map(({ area }) => area);
  for (const { pagesOffset, length } of areas.toSorted(
    (left, right) => left.pagesOffset - right.pagesOffset,
  )) {
    if (pagesOffset > position) ranges.push({ offset: position, length: pagesOffset - position });
    position = pagesOffset + length;
  }
  if (size > position) ranges.push({ offset: position, length: size - position });
  return ranges;
}
