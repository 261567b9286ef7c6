import {
  DELTA_HEAD_BYTES,
  MAPPED_RAM_HEADER_BYTES,
  MAPPED_RAM_HEADER_VERSION,
  PAGES_ALIGNMENT,
} from '../stream/constants.ts';
import { bitmapBytes } from '../stream/page-area.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { Finding } from './finding.ts';

/**
 * Finds headers that a reader accepts, but that no QEMU writes (docs/format.md §2.3). Only the header says where a
 * bitmap lies: nothing else in the file shows a wrong offset.
 * @param layout says whether the file is a delta, whose bitmaps lie elsewhere (docs/format.md §13), and its offset in bytes
 */
export function checkBlocks(
  blocks: readonly MappedRamBlock[],
  { isDelta = false, base = 0 }: { readonly isDelta?: boolean; readonly base?: number } = {},
): readonly Finding[] {
  let next = base + 2 * DELTA_HEAD_BYTES;
  return blocks.flatMap((block) => {
    const { headerOffset, area } = block;
    const bitmap = isDelta ? next : headerOffset + MAPPED_RAM_HEADER_BYTES;
    next += bitmapBytes(area);
    const place = isDelta ? 'behind the bitmap before it' : 'right behind the header';
    return [...headerFindings(block, { bitmap, place })];
  });
}

function* headerFindings(
  block: MappedRamBlock,
  expected: { readonly bitmap: number; readonly place: string },
): Generator<Finding, void, void> {
  const { id, headerOffset, headerVersion, skipped } = block;
  const { bitmapOffset, pagesOffset } = block.area;
  if (headerVersion !== MAPPED_RAM_HEADER_VERSION) {
    yield {
      severity: 'error',
      code: 'header-version',
      message: `mapped-ram header of block ${id}: expected version ${MAPPED_RAM_HEADER_VERSION}, found ${headerVersion}`,
      offset: headerOffset,
      block: id,
    };
  }
  if (skipped) {
    yield {
      severity: 'warning',
      code: 'block-skipped',
      message: `block ${id} has no pages in the file: a destination must have its memory already`,
      offset: headerOffset,
      block: id,
    };
    return;
  }
  if (bitmapOffset !== expected.bitmap) {
    yield {
      severity: 'error',
      code: 'bitmap-misplaced',
      message: `bitmap_offset of block ${id}: expected ${expected.bitmap}, ${expected.place}, found ${bitmapOffset}`,
      offset: headerOffset + 12,
      block: id,
    };
  }
  if (pagesOffset % PAGES_ALIGNMENT !== 0) {
    yield {
      severity: 'warning',
      code: 'pages-unaligned',
      message: `pages_offset of block ${id}: expected a multiple of ${PAGES_ALIGNMENT}, found ${pagesOffset}`,
      offset: headerOffset + 20,
      block: id,
    };
  }
}
