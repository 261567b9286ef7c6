import type { MappedRamBlock } from '../stream/stream-index.ts';

/** A part of a block, and its place in the output. Offsets and lengths are in bytes. */
export interface Placement {
  readonly block: MappedRamBlock;
  /** Offset in the block. */
  readonly offset: number;
  readonly length: number;
  /** Offset in the output. */
  readonly at: number;
}

/** The parts that the engine moves, and the rest: kilobytes around them. */
interface DividedPlacements {
  readonly bulk: readonly Placement[];
  readonly rest: readonly Placement[];
}

/** Pages whose bits fill a 64-bit word: the engine reads bitmaps from whole words on. */
const WORD_PAGES = 64;
/** The smallest part of a block, in bytes, that is worth the engine's while. */
const SMALL_PART = 1 << 20;

/**
 * Divides placements at the pages where the engine can begin. The engine gets every byte once: of two places for the
 * same memory (firmware is at two addresses) the second goes to the rest.
 */
export function dividePlacements(placements: readonly Placement[]): DividedPlacements {
  const bulk: Placement[] = [];
  const rest: Placement[] = [];
  for (const placement of placements) {
    const { block, offset, length } = placement;
    const end = offset + length;
    const isWhole = length === block.length;
    const unit = WORD_PAGES * block.area.pageSize;
    const from = Math.ceil(offset / unit) * unit;
    const to = end === block.length ? end : Math.floor(end / unit) * unit;
    const overlaps = bulk.some(
      (other) => other.block === block && other.offset < to && from < other.offset + other.length,
    );
    if (overlaps || from >= to || (length < SMALL_PART && !isWhole)) rest.push(placement);
    else {
      bulk.push(part(placement, from, to));
      rest.push(...[part(placement, offset, from), part(placement, to, end)].filter(isNotEmpty));
    }
  }
  return { bulk, rest };
}

function part(placement: Placement, from: number, to: number): Placement {
  return { ...placement, offset: from, length: to - from, at: placement.at + (from - placement.offset) };
}

function isNotEmpty({ length }: Placement): boolean {
  return length > 0;
}
