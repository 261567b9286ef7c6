import { digestRanges } from '../engine/digest.ts';
import type { BlockPieces, TransferFile } from '../engine/transfer.ts';
import { metadataRanges } from './metadata-ranges.ts';
import { PIECE_SIZE, type BlockPlace, type Seal } from './seal.ts';

/** A complete snapshot whose pieces have their digests. */
export interface SealPart {
  readonly file: TransferFile;
  readonly base: number;
  readonly size: number;
  readonly pageSize: number;
  readonly blocks: readonly BlockPlace[];
  /** By block, of pieces of `PIECE_SIZE` bytes. */
  readonly pieces: readonly BlockPieces[];
}

/**
 * The seal of a snapshot: reads what is not pages.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_TRUNCATED
 */
export async function makeSeal(part: SealPart, signal: AbortSignal | undefined): Promise<Seal> {
  const { file, base, size, pageSize, pieces } = part;
  const blocks = part.blocks.map(({ id, length, bitmapOffset, pagesOffset }, index) => {
    const { offsets, digests } = pieces[index] ?? { offsets: [], digests: new Uint8Array() };
    return { id, length, bitmapOffset, pagesOffset, offsets, digests };
  });
  const metadata = await digestRanges(file, metadataRanges(base, size, blocks), signal);
  return { pageSize, pieceSize: PIECE_SIZE, base, size, metadata, blocks };
}
