import { MappedRamError } from '../errors.ts';
import type { MappedRamBlock, MappedRamIndex } from '../stream/stream-index.ts';
import { assertHasPages } from '../pages/blocks.ts';
import type { ComparedBlock } from '../engine/comparison.ts';
import { assertSize, locationsFor, toMemory, type RamLocation } from '../snapshot/ram-location.ts';

/** One block as both sides have it. */
export interface BlockPair {
  readonly id: string;
  /** Used lengths in bytes; undefined on a side that does not have the block. */
  readonly left: number | undefined;
  readonly right: number | undefined;
  /** The areas for the engine to compare; undefined when one side lacks the block. */
  readonly compared: ComparedBlock | undefined;
}

interface BlockPairs {
  readonly pairs: readonly BlockPair[];
  /** Ids of blocks that cannot be compared, or that the caller left out. */
  readonly notCompared: readonly string[];
}

/**
 * Pairs the blocks of two snapshots by their ids. Blocks that were saved without pages (docs/format.md §2.4) cannot be
 * compared.
 */
export function pairBlocks(left: MappedRamIndex, right: MappedRamIndex): BlockPairs {
  const rest = new Map(right.blocks.map((block) => [block.id, block]));
  const pairs: BlockPair[] = [];
  const notCompared: string[] = [];
  for (const block of left.blocks) {
    const other = rest.get(block.id);
    rest.delete(block.id);
    if (block.skipped || other?.skipped === true) notCompared.push(block.id);
    else pairs.push(pairOf(block, other));
  }
  for (const { id, length, skipped } of rest.values()) {
    if (skipped) notCompared.push(id);
    else pairs.push({ id, left: undefined, right: length, compared: undefined });
  }
  return { pairs, notCompared };
}

/**
 * Pairs the blocks whose memory the caller gave.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that the snapshot does not have,
 * ERR_MAPPED_RAM_UNSUPPORTED for one without pages, ERR_MAPPED_RAM_TRUNCATED for memory that is too small
 */
export async function pairWithRam(
  ram: MappedRamIndex,
  given: Readonly<Record<string, RamLocation>>,
  path: string,
): Promise<BlockPairs> {
  const locations = locationsFor(given, ram.blocks, path);
  if (locations.size === 0) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'nothing to compare: no RAM was given');
  }
  const pairs: BlockPair[] = [];
  for (const block of ram.blocks) {
    const location = locations.get(block.id);
    if (location === undefined) continue;
    const { id, length, area } = block;
    assertHasPages(block, path);
    await assertSize(location, block);
    const compared = { name: id, left: area, right: { memory: toMemory(location) } };
    pairs.push({ id, left: length, right: length, compared });
  }
  const notCompared = ram.blocks.map(({ id }) => id).filter((id) => !locations.has(id));
  return { pairs, notCompared };
}

function pairOf(left: MappedRamBlock, right: MappedRamBlock | undefined): BlockPair {
  const { id } = left;
  if (right === undefined) return { id, left: left.length, right: undefined, compared: undefined };
  const length = Math.min(left.length, right.length);
  const compared = { name: id, left: { ...left.area, length }, right: { ...right.area, length } };
  return { id, left: left.length, right: right.length, compared };
}
