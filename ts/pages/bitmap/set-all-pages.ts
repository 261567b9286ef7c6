import { readAt } from '../../io/fd-io.ts';
import type { Output } from '../../io/output.ts';
import { localFile } from '../../io/open-source.ts';
import { bitmapBytes, type PageArea, pagesIn } from '../../stream/page-area.ts';
import { bitAt, setBit } from '../bits.ts';

/** Bytes of a bitmap that are changed at once. */
const PIECE = 1 << 16;

/**
 * Sets the bits of all pages of a block, whose pages with data are in the output already. The others are stored as zero
 * pages thereby, and take no room: the output reads as zeros where nothing was written (`Output.allocate`).
 * @param output one that is a file
 * @returns the bytes of the pages whose bits were clear
 */
export async function setAllPages(output: Output, area: PageArea): Promise<number> {
  const { fd } = localFile(output, 'storing zero pages');
  const [pages, size] = [pagesIn(area), bitmapBytes(area)];
  const bytes = Buffer.alloc(Math.min(PIECE, size));
  let added = 0;
  for (let done = 0; done < size; done += PIECE) {
    const piece = bytes.subarray(0, Math.min(PIECE, size - done));
    const offset = area.bitmapOffset + done;
    await readAt(fd, output.name, piece, offset);
    const end = Math.min(piece.length * 8, pages - done * 8);
    for (let bit = 0; bit < end; bit += 1) {
      if (bitAt(piece, bit)) continue;
      setBit(piece, bit);
      added += 1;
    }
    await output.writeAt(piece, offset);
  }
  return added * area.pageSize;
}
