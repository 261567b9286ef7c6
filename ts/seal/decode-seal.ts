import { MappedRamError } from '../errors.ts';
import { RangeSet } from '../stream/range-set.ts';
import { bitmapBytes } from '../stream/page-area.ts';
import { MAX_TARGET_PAGE_SIZE, MIN_TARGET_PAGE_SIZE } from '../stream/target-page-size.ts';
import { decodeName } from '../stream/text.ts';
import { DIGEST_BYTES } from '../engine/digest.ts';
import { SealFields } from './seal-fields.ts';
import { ENTRY_BYTES, SEAL_MAGIC, SEAL_VERSION, type Seal, type SealedBlock } from './seal.ts';

const MAX_PIECE: number = 16 * 1024 * 1024;

/**
 * Decodes a seal's bytes, without the digest that ends the file. Every number is checked, so that a caller can look up
 * in a file whatever the seal says.
 * @throws {MappedRamError} ERR_MAPPED_RAM_BAD_MAGIC, ERR_MAPPED_RAM_UNSUPPORTED_VERSION, ERR_MAPPED_RAM_TRUNCATED,
 *   ERR_MAPPED_RAM_CORRUPT
 */
export function decodeSeal(bytes: Uint8Array, path: string): Seal {
  const fields = new SealFields(bytes, path);
  if (Buffer.compare(fields.bytes(SEAL_MAGIC.length), SEAL_MAGIC) !== 0) {
    throw new MappedRamError('ERR_MAPPED_RAM_BAD_MAGIC', 'not a seal', { path, offset: 0 });
  }
  const version = fields.u32();
  if (version !== SEAL_VERSION) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', 'version of the seal', {
      path,
      expected: SEAL_VERSION,
      found: version,
    });
  }
  const pageSize = fields.powerOfTwo('page size', MIN_TARGET_PAGE_SIZE, MAX_TARGET_PAGE_SIZE);
  const pieceSize = fields.powerOfTwo('piece size', pageSize, MAX_PIECE);
  const count = fields.u32();
  const base = fields.u64('base');
  const size = fields.u64('size of the snapshot');
  const metadata = fields.bytes(DIGEST_BYTES);
  const taken = new RangeSet();
  const blocks: SealedBlock[] = [];
  for (let index = 0; index < count; index += 1) {
    blocks.push(decodeBlock(fields, { pageSize, pieceSize, base, size }, taken));
  }
  if (fields.left > 0) throw fields.corrupt('bytes behind the last block');
  return { pageSize, pieceSize, base, size, metadata, blocks };
}

function decodeBlock(
  fields: SealFields,
  seal: Pick<Seal, 'pageSize' | 'pieceSize' | 'base' | 'size'>,
  taken: RangeSet,
): SealedBlock {
  const { pageSize, base, size } = seal;
  const idLength = fields.u8();
  if (idLength === 0) throw fields.corrupt('a block without id');
  const id = decodeName(fields.bytes(idLength), 'id of a RAM block', fields.path, fields.position);
  const length = fields.u64('length of a block');
  const bitmapOffset = fields.u64('bitmap_offset of a block');
  const pagesOffset = fields.u64('pages_offset of a block');
  const area = { pagesOffset, bitmapOffset, length, pageSize };
  const bitmapEnd = bitmapOffset + bitmapBytes(area);
  const isInside =
    Math.min(bitmapOffset, pagesOffset) >= base && Math.max(bitmapEnd, pagesOffset + length) <= size;
  const isWhole = length > 0 && length % pageSize === 0;
  if (
    !isInside ||
    !isWhole ||
    !taken.add(bitmapOffset, bitmapEnd) ||
    !taken.add(pagesOffset, pagesOffset + length)
  ) {
    throw fields.corrupt(`place of block ${id}`);
  }
  return { id, area, ...decodePieces(fields, length, seal.pieceSize) };
}

function decodePieces(
  fields: SealFields,
  length: number,
  pieceSize: number,
): Pick<SealedBlock, 'offsets' | 'digests'> {
  const count = fields.u64('number of pieces');
  // The check comes before the allocation: a lying number must not size it.
  if (count * ENTRY_BYTES > fields.left) throw fields.truncated(count * ENTRY_BYTES);
  const offsets: number[] = [];
  const digests = new Uint8Array(count * DIGEST_BYTES);
  let next = 0;
  for (let index = 0; index < count; index += 1) {
    const offset = fields.u64('offset of a piece');
    if (offset < next || offset % pieceSize !== 0 || offset >= length)
      throw fields.corrupt('offset of a piece');
    next = offset + pieceSize;
    offsets.push(offset);
    digests.set(fields.bytes(DIGEST_BYTES), index * DIGEST_BYTES);
  }
  return { offsets, digests };
}
