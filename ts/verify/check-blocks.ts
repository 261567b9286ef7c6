import { PAGES_ALIGNMENT, MAPPED_RAM_HEADER_BYTES, MAPPED_RAM_HEADER_VERSION } from '../stream/constants.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { Finding } from './finding.ts';

/**
 * Finds headers that a reader accepts, but that no QEMU writes (docs/format.md §2.3). Only the header says where a
 * bitmap lies: nothing else in the file shows a wrong offset.
 */
export function checkBlocks(blocks: readonly MappedRamBlock[]): readonly Finding[] {
  return blocks.flatMap((block) => [...headerFindings(block)]);
}

function* headerFindings(block: MappedRamBlock): Generator<Finding, void, void> {
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
  const expected = headerOffset + MAPPED_RAM_HEADER_BYTES;
  if (bitmapOffset !== expected) {
    yield {
      severity: 'error',
      code: 'bitmap-misplaced',
      message: `bitmap_offset of block ${id}: expected ${expected}, right behind the header, found ${bitmapOffset}`,
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
