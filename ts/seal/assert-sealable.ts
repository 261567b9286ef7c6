import { MappedRamError } from '../errors.ts';
import { countSetPages } from '../pages/bitmap-reader.ts';
import type { OpenSource } from '../io/open-source.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import { ENTRY_BYTES, MAX_SEAL_BYTES, PIECE_SIZE } from './seal.ts';

/**
 * Refuses a snapshot with so many set pages that their pieces, however close together they lie, do not fit into a seal.
 * The check comes before hours are spent on reading. It reads bitmaps only where the blocks are large enough for that.
 * @param path of the seal
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED, and the reader's errors
 */
export async function assertSealable(
  reader: OpenSource,
  blocks: readonly MappedRamBlock[],
  path: string,
): Promise<void> {
  const all = blocks.map(({ length }) => Math.ceil(length / PIECE_SIZE));
  if (sum(all) * ENTRY_BYTES <= MAX_SEAL_BYTES) return;
  const set: number[] = [];
  for (const block of blocks) {
    const bytes = (await countSetPages(reader, block)) * block.area.pageSize;
    set.push(Math.ceil(bytes / PIECE_SIZE));
  }
  assertSealSize(sum(set) * ENTRY_BYTES, path);
}

/**
 * Refuses a seal of more than `MAX_SEAL_BYTES`.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED
 */
export function assertSealSize(size: number, path: string): void {
  if (size <= MAX_SEAL_BYTES) return;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'the snapshot has too many pages to be sealed', {
    path,
    expected: `a seal of at most ${MAX_SEAL_BYTES} bytes`,
    found: size,
  });
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
