import { bitmapBytes, type PageArea } from '../page-area.ts';
import { MappedRamError } from '../../errors.ts';
import { DEFAULT_TARGET_PAGE_SIZE, MAPPED_RAM_HEADER_BYTES, PAGES_ALIGNMENT } from '../constants.ts';
import { encodeName } from '../text.ts';

/** A RAMBlock as the caller knows it. */
export interface RamBlock {
  readonly id: string;
  /** used_length in bytes: a multiple of the target page size, at least one page. */
  readonly length: number;
  /** The region's offset inside its parent (docs/format.md §10); written only with x-ignore-shared. */
  readonly address?: number;
  /** True lists the block with offsets 0/0 and without bitmap and pages (docs/format.md §2.4). Default false. */
  readonly skipped?: boolean;
}

/** The place of one block of a mapped-ram file; all offsets are absolute (docs/format.md §2.3). */
export interface MappedBlockLayout extends RamBlock {
  /** Offset of the block list entry: its id's length byte. */
  readonly entryOffset: number;
  readonly headerOffset: number;
  /** The block's area; both offsets are 0 for a skipped block. */
  readonly area: PageArea;
  readonly skipped: boolean;
}

/** The place of a mapped-ram file's RAM (docs/format.md §2.3). */
export interface MappedRamLayout {
  readonly blocks: readonly MappedBlockLayout[];
  readonly targetPageSize: number;
  /** Sum of the blocks' lengths, as the header word says it. */
  readonly total: number;
  /** Offset of the EOS word: right after the last block's pages. */
  readonly endOffset: number;
}

interface LayoutOptions {
  /** Offset of the stream in the file, in bytes. Default 0. */
  readonly base?: number;
  /** Bytes from `base` up to the first block list entry. */
  readonly headerBytes: number;
  readonly blocks: readonly RamBlock[];
  /** True when every entry carries an address (x-ignore-shared). Default false. */
  readonly addresses?: boolean;
  /** Size of a target page in bytes. Default 4096. */
  readonly targetPageSize?: number;
  /** Alignment of page areas in bytes, counted from file offset 0. Default 1 MiB, which suits direct I/O everywhere. */
  readonly alignment?: number;
}

/**
 * Lays the RAM part of a mapped-ram file out as QEMU does (docs/format.md §2.2, §2.3, §2.6).
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for bad blocks, ERR_MAPPED_RAM_ALIGNMENT for a page size or
 * alignment that is not a power of two, ERR_MAPPED_RAM_OUT_OF_RANGE when the file would reach 2^53 bytes
 */
export function layoutMappedRam(options: LayoutOptions): MappedRamLayout {
  const { base = 0, headerBytes, addresses = false } = options;
  const { targetPageSize = DEFAULT_TARGET_PAGE_SIZE, alignment = PAGES_ALIGNMENT } = options;
  assertPowerOfTwo('target page size', targetPageSize, 1);
  assertPowerOfTwo('alignment of page areas', alignment, targetPageSize);
  const total = assertBlocks(options.blocks, targetPageSize);
  if (!addresses && options.blocks.some((block) => block.skipped === true)) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'skipped blocks need x-ignore-shared');
  }
  let position = base + headerBytes;
  const blocks = options.blocks.map((block): MappedBlockLayout => {
    const { id, length, skipped = false } = block;
    const entryOffset = position;
    const headerOffset = entryOffset + 1 + encodeName(id, 'block id').length + 8 + (addresses ? 8 : 0);
    const afterHeader = headerOffset + MAPPED_RAM_HEADER_BYTES;
    const pages = { length, pageSize: targetPageSize };
    if (skipped) {
      position = afterHeader;
      return {
        ...block,
        entryOffset,
        headerOffset,
        area: { ...pages, pagesOffset: 0, bitmapOffset: 0 },
        skipped,
      };
    }
    const pagesOffset = roundUp(afterHeader + bitmapBytes(pages), alignment);
    position = pagesOffset + length;
    const area = { ...pages, pagesOffset, bitmapOffset: afterHeader };
    return { ...block, entryOffset, headerOffset, area, skipped };
  });
  // The limit leaves room for the device state, too.
  if (!Number.isSafeInteger(position + 2 ** 32)) {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'the snapshot would be too large', {
      expected: 'less than 2^53 bytes',
      found: position,
    });
  }
  return { blocks, targetPageSize, total, endOffset: position };
}

/** Checks a block list that is to be written; returns the sum of the lengths. */
export function assertBlocks(blocks: readonly RamBlock[], targetPageSize: number): number {
  const ids = new Set<string>();
  let total = 0;
  for (const { id, length } of blocks) {
    if (ids.has(id)) throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `block ${id} comes twice`);
    ids.add(id);
    if (!Number.isSafeInteger(length) || length <= 0 || length % targetPageSize !== 0) {
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `length of block ${id}`, {
        expected: `a multiple of ${targetPageSize}`,
        found: length,
      });
    }
    total += length;
  }
  return total;
}

function roundUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

function assertPowerOfTwo(what: string, value: number, min: number): void {
  if (Number.isSafeInteger(value) && value >= min && Number.isInteger(Math.log2(value))) return;
  throw new MappedRamError('ERR_MAPPED_RAM_ALIGNMENT', what, {
    expected: `a power of two, at least ${min}`,
    found: value,
  });
}
