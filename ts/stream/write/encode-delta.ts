import { MappedRamError } from '../../errors.ts';
import {
  DEFAULT_TARGET_PAGE_SIZE,
  DELTA_HEAD_BYTES,
  DELTA_PAGES_ALIGNMENT,
  MAPPED_RAM_HEADER_BYTES,
  PAGES_ALIGNMENT,
  RAM_SECTION_ID,
} from '../constants.ts';
import { bitmapBytes } from '../page-area.ts';
import { targetPageSizeIn } from '../target-page-size.ts';
import { encodeName } from '../text.ts';
import { deltaConfiguration, mappedConfiguration } from './configuration-forms.ts';
import {
  encodeBeginning,
  encodeMappedBlockEntry,
  encodeRamEos,
  type MappedRamStart,
  type MappedRamStartOptions,
} from './encode-ram.ts';
import { assertBlocks, type MappedBlockLayout, type RamBlock } from './layout.ts';

/** The beginning of a delta: its capabilities follow from the form, and so does the alignment. */
export type DeltaStartOptions = Omit<MappedRamStartOptions, 'alignment'>;

/**
 * Encodes the two heads and the RAM START section of a delta, as positional writes (docs/format.md §13). The layout is
 * that of the first head; the second differs in its CONFIGURATION and in the place of the first block's entry only.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for bad blocks, or for none at all;
 *   ERR_MAPPED_RAM_OUT_OF_RANGE when the file would reach 2^53 bytes
 */
export function encodeDeltaStart(options: DeltaStartOptions): MappedRamStart {
  const { configuration, blocks, base = 0, sectionId = RAM_SECTION_ID } = options;
  const targetPageSize =
    options.targetPageSize ?? targetPageSizeIn(configuration) ?? DEFAULT_TARGET_PAGE_SIZE;
  const total = assertBlocks(blocks, targetPageSize);
  const [ours, qemus] = [deltaConfiguration(configuration), mappedConfiguration(configuration)].map((one) =>
    encodeBeginning({ ...options, configuration: one }, total),
  );
  if (ours === undefined || qemus === undefined) throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'heads');
  const placed = placeBlocks(blocks, targetPageSize, base, base + ours.length);
  const entries = placed.map((block) => encodeMappedBlockEntry(block, { addresses: false, targetPageSize }));
  const [first, ...others] = entries;
  const last = placed.at(-1);
  if (first === undefined || last === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'a delta needs RAM blocks', {
      found: 'none',
    });
  }
  const endOffset = last.area.pagesOffset + last.length;
  const heads = [ours, qemus].map((head, index) => ({
    offset: base + index * DELTA_HEAD_BYTES,
    bytes: joined(head, first),
  }));
  const eos = encodeRamEos(sectionId);
  return {
    layout: { blocks: placed, targetPageSize, total, endOffset },
    segments: [
      ...heads,
      ...others.map((bytes, index) => ({ offset: placed[index + 1]?.entryOffset ?? 0, bytes })),
      { offset: endOffset, bytes: eos },
    ],
    endOffset: endOffset + eos.length,
  };
}

/**
 * Places blocks: all bitmaps behind the two heads, then the pages of each block, with the entry of the next one right
 * behind them. QEMU goes on there, whichever head it came from.
 */
function placeBlocks(
  blocks: readonly RamBlock[],
  pageSize: number,
  base: number,
  firstEntry: number,
): readonly MappedBlockLayout[] {
  let position = base + 2 * DELTA_HEAD_BYTES;
  const bitmaps = blocks.map(({ length }) => {
    const offset = position;
    position += bitmapBytes({ length, pageSize });
    return offset;
  });
  const placed = blocks.map((block, index): MappedBlockLayout => {
    const { id, length } = block;
    const entryOffset = index === 0 ? firstEntry : position;
    const headerOffset = entryOffset + 1 + encodeName(id, 'block id').length + 8;
    const from = index === 0 ? position : headerOffset + MAPPED_RAM_HEADER_BYTES;
    const alignment = index === 0 ? DELTA_PAGES_ALIGNMENT : PAGES_ALIGNMENT;
    const pagesOffset = Math.ceil(from / alignment) * alignment;
    position = pagesOffset + length;
    const area = { pagesOffset, bitmapOffset: bitmaps[index] ?? 0, length, pageSize };
    return { id, length, entryOffset, headerOffset, area, skipped: false };
  });
  // The limit leaves room for the device state, too.
  if (Number.isSafeInteger(position + 2 ** 32)) return placed;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'the delta would be too large', {
    expected: 'less than 2^53 bytes',
    found: position,
  });
}

/** Joins a head and the first block's entry. The next head, or the bitmaps, must not lie in them. */
function joined(head: Uint8Array, entry: Uint8Array): Uint8Array {
  const length = head.length + entry.length;
  if (length > DELTA_HEAD_BYTES) {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'length of the head of a delta', {
      expected: `at most ${DELTA_HEAD_BYTES} bytes`,
      found: length,
    });
  }
  const bytes = new Uint8Array(length);
  bytes.set(head);
  bytes.set(entry, head.length);
  return bytes;
}
