import type { BlockArea } from '../stream/page-area.ts';
import { DIGEST_BYTES } from '../engine/digest.ts';
import type { BlockPieces } from '../engine/transfer.ts';

/** The contents of a snapshot when it was sealed: digests of its pages and of everything else (docs/verify.md). */
export interface Seal {
  /** Size of a page in bytes. */
  readonly pageSize: number;
  /** Bytes of a block that have one digest. */
  readonly pieceSize: number;
  /** Offset of the stream in the file, in bytes. */
  readonly base: number;
  /** Size of the whole file in bytes. */
  readonly size: number;
  /** The digest of everything from `base` on except the page areas. */
  readonly metadata: Uint8Array;
  /** The blocks that have pages in the file, in its order. */
  readonly blocks: readonly SealedBlock[];
}

/** A block with its place in the file, and the digests of its pieces. */
export interface SealedBlock extends BlockArea, BlockPieces {}

/** Bytes of a piece in the seals that this package writes. */
export const PIECE_SIZE: number = 256 * 1024;

/** Bytes of a piece's entry: its offset and its digest. */
export const ENTRY_BYTES: number = 8 + DIGEST_BYTES;

/** "MRAMSEAL" */
export const SEAL_MAGIC: Uint8Array = Uint8Array.from('MRAMSEAL', (letter) => letter.charCodeAt(0));
export const SEAL_VERSION = 1;
/** The largest seal, in bytes, that is written or read: enough for 6 TiB of set pages. */
export const MAX_SEAL_BYTES: number = 2 ** 30;
