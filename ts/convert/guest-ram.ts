import { MappedRamError } from '../errors.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { findMainMemory } from '../stream/main-memory.ts';

/**
 * Finds the blocks whose set pages may become clear when they are zero: the guest's RAM, which a restore finds empty.
 * Somebody may have stored the zero pages of any other block because its memory is not empty: firmware, or the file of
 * an nvdimm (docs/format.md §4.2). Where the file leaves open which blocks are RAM, none is.
 */
export async function guestRam(snapshot: Snapshot): Promise<ReadonlySet<string>> {
  const { machine, ram } = snapshot.index;
  const { main, candidates } = findMainMemory({ machine, blocks: ram?.blocks ?? [] });
  if (main !== undefined) return new Set([main.id]);
  const nodes = await nodesOf(snapshot);
  // A memory device's block is called like a node's, and may be as long.
  const lengths = new Set(candidates.filter(({ id }) => nodes.has(id)).map(({ length }) => length));
  const isSure = candidates.every(({ id, length }) => nodes.has(id) || !lengths.has(length));
  return isSure ? nodes : new Set();
}

/** The blocks of the NUMA nodes, as the guest's ACPI tables have them; none where there are no such tables. */
async function nodesOf(snapshot: Snapshot): Promise<ReadonlySet<string>> {
  try {
    const { ranges } = await snapshot.physicalMap();
    return new Set(ranges.flatMap(({ kind, block }) => (kind === 'ram' ? [block] : [])));
  } catch (error) {
    if (error instanceof MappedRamError) return new Set();
    throw error;
  }
}
