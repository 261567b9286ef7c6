import { ByteWriter } from '../stream/write/byte-writer.ts';
import { encodeName } from '../stream/text.ts';
import { DIGEST_BYTES } from '../engine/digest.ts';
import type { BlockPieces } from '../engine/transfer.ts';
import { SEAL_MAGIC, SEAL_VERSION, type Seal } from './seal.ts';

/** Encodes a seal, without the digest of its bytes that ends the file (docs/verify.md). */
export function encodeSeal(seal: Seal): Uint8Array {
  const { pageSize, pieceSize, base, size, metadata, blocks } = seal;
  const writer = new ByteWriter()
    .bytes(SEAL_MAGIC)
    .u32(SEAL_VERSION)
    .u32(pageSize)
    .u32(pieceSize)
    .u32(blocks.length)
    .u64(base)
    .u64(size)
    .bytes(metadata);
  for (const block of blocks) {
    const id = encodeName(block.id, 'id of a RAM block');
    const { length, bitmapOffset, pagesOffset } = block.area;
    writer.u8(id.length).bytes(id).u64(length).u64(bitmapOffset).u64(pagesOffset);
    writer.u64(block.offsets.length).bytes(entriesOf(block));
  }
  return writer.finish();
}

function entriesOf({ offsets, digests }: BlockPieces): Uint8Array {
  const writer = new ByteWriter();
  for (const [index, offset] of offsets.entries()) {
    writer.u64(offset).bytes(digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES));
  }
  return writer.finish();
}
