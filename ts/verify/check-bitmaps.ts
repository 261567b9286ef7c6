import { bitmapBytes, pagesIn, type PageArea } from '../stream/page-area.ts';
import { areBitmapsLost } from '../pages/lost-bitmaps.ts';
import { countSetPages } from '../pages/bitmap-reader.ts';
import type { OpenSource } from '../io/open-source.ts';
import type { MappedRamIndex } from '../stream/stream-index.ts';
import type { Finding } from './finding.ts';

const WORD_BYTES = 8;

/**
 * Finds bitmaps that cannot be right (docs/format.md §2.5). */
export async function checkBitmaps(
  reader: OpenSource,
  ram: Pick<MappedRamIndex, 'blocks' | 'ended'>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  let setPages = 0;
  const mapped = ram.blocks.filter(({ skipped }) => !skipped);
  for (const block of mapped) {
    setPages += await countSetPages(reader, block);
    const offset = await findBitBeyond(reader, block.area);
    if (offset !== undefined) {
      const message = `the bitmap of block ${block.id} has bits beyond the block's last page`;
      findings.push({ severity: 'error', code: 'bits-beyond-end', message, offset, block: block.id });
    }
  }
  const [first] = mapped;
  if (first !== undefined && setPages === 0 && (await areBitmapsLost(reader, ram))) {
    findings.push({
      severity: 'error',
      code: 'bitmaps-clear',
      message:
        'no page is set in any block: the save was cancelled or cut off, or made with background-snapshot, and would restore as zeros',
      offset: first.area.bitmapOffset,
    });
  }
  return findings;
}

/** Returns the offset of the first byte with such a bit. Only the last word has bits to spare. */
async function findBitBeyond(reader: OpenSource, area: PageArea): Promise<number | undefined> {
  const { bitmapOffset } = area;
  const pages = pagesIn(area);
  const start = bitmapBytes(area) - WORD_BYTES;
  const word = await reader.read(bitmapOffset + start, WORD_BYTES);
  for (const [index, byte] of word.entries()) {
    const used = Math.min(8, Math.max(0, pages - (start + index) * 8));
    if (byte >>> used !== 0) return bitmapOffset + start + index;
  }
  return undefined;
}
