import type { BlockArea } from '../../ts/stream/page-area.ts';
import { ByteWriter } from '../../ts/stream/write/byte-writer.ts';
import { digestBytes } from '../../ts/engine/digest.ts';

export interface NaiveBlock {
  readonly id: string;
  readonly length: number;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
}

/** A snapshot's block, as a seal lists it. */
export function naiveBlock({ id, area }: BlockArea): NaiveBlock {
  const { length, bitmapOffset, pagesOffset } = area;
  return { id, length, bitmapOffset, pagesOffset };
}

/** The seal of a file in memory, as docs/verify.md describes it, made a page at a time. */
export function naiveSeal(
  file: Buffer,
  base: number,
  blocks: readonly NaiveBlock[],
  pageSize = 4096,
  pieceSize = 262_144,
): Buffer {
  const isPage = new Uint8Array(file.length);
  for (const { pagesOffset, length } of blocks) isPage.fill(1, pagesOffset, pagesOffset + length);
  const metadata = file.filter((_, offset) => offset >= base && isPage[offset] === 0);
  const writer = new ByteWriter().bytes(Buffer.from('MRAMSEAL')).u32(1).u32(pageSize).u32(pieceSize);
  writer.u32(blocks.length).u64(base).u64(file.length).bytes(digestBytes(metadata));
  for (const block of blocks) {
    const { id, length, bitmapOffset, pagesOffset } = block;
    writer.u8(id.length).bytes(Buffer.from(id)).u64(length).u64(bitmapOffset).u64(pagesOffset);
    const pieces = [...piecesOf(file, block, pageSize, pieceSize)];
    writer.u64(pieces.length);
    for (const [offset, digest] of pieces) writer.u64(offset).bytes(digest);
  }
  const content = writer.finish();
  return Buffer.concat([content, digestBytes(content)]);
}

function* piecesOf(
  file: Buffer,
  { length, bitmapOffset, pagesOffset }: NaiveBlock,
  pageSize: number,
  pieceSize: number,
): Generator<readonly [number, Uint8Array], void, void> {
  for (let start = 0; start < length; start += pieceSize) {
    const count = Math.min(pieceSize, length - start) / pageSize;
    const bitmap = Buffer.alloc(Math.ceil(count / 8));
    const message: Uint8Array[] = [];
    for (let index = 0; index < count; index += 1) {
      const number = start / pageSize + index;
      const isSet = (((file[bitmapOffset + (number >>> 3)] ?? 0) >>> (number & 7)) & 1) === 1;
      const page = file.subarray(pagesOffset + number * pageSize, pagesOffset + (number + 1) * pageSize);
      if (!isSet || page.every((byte) => byte === 0)) continue;
      message.push(page);
      bitmap[index >>> 3] = (bitmap[index >>> 3] ?? 0) | (1 << (index & 7));
    }
    if (message.length > 0) yield [start, digestBytes(Buffer.concat([...message, bitmap]))];
  }
}
