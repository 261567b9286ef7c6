import { readAt } from '../../io/fd-io.ts';
import type { Output } from '../../io/output.ts';
import { localFile } from '../../io/open-source.ts';
import { bitmapBytes, type PageArea } from '../../stream/page-area.ts';
import { clearBit, setBit } from '../bits.ts';
import { type ByteRuns, rangesOf } from '../byte-runs.ts';

/** Bytes of a bitmap that are changed at once. */
const PIECE = 1 << 16;

/**
 * Sets or clears the bits of some pages of a block that the output has already, whatever they were.
 * @param output one that is a file
 * @param runs of whole pages
 */
export async function changeBits(
  output: Output,
  area: PageArea,
  runs: ByteRuns,
  isSet: boolean,
): Promise<void> {
  if (runs.length === 0) return;
  const { fd } = localFile(output, 'changing a bitmap');
  const size = bitmapBytes(area);
  const buffer = Buffer.alloc(Math.min(PIECE, size));
  const change = isSet ? setBit : clearBit;
  let piece: { readonly offset: number; readonly bytes: Buffer } | undefined;
  const flush = async (): Promise<void> => {
    if (piece !== undefined) await output.writeAt(piece.bytes, area.bitmapOffset + piece.offset);
    piece = undefined;
  };
  for (const { start, end } of rangesOf(runs)) {
    for (let page = start / area.pageSize; page * area.pageSize < end; page += 1) {
      const offset = Math.floor(page / 8 / PIECE) * PIECE;
      if (piece?.offset !== offset) {
        await flush();
        const bytes = buffer.subarray(0, Math.min(PIECE, size - offset));
        await readAt(fd, output.name, bytes, area.bitmapOffset + offset);
        piece = { offset, bytes };
      }
      change(piece.bytes, page - offset * 8);
    }
  }
  await flush();
}
