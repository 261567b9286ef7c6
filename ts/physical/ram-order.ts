import { MappedRamError } from '../errors.ts';
import { assertBlocksExist } from '../pages/blocks.ts';
import { findMainMemory } from '../stream/main-memory.ts';
import type { MachineFacts } from './machine-facts.ts';
import type { NodeRange } from './srat.ts';

interface Block {
  readonly id: string;
  readonly length: number;
}

/** The blocks that are the guest's RAM, in the order of their addresses. */
export interface RamBlocks {
  readonly blocks: readonly Block[];
  readonly assumptions: readonly string[];
}

/** The most blocks that can be RAM: QEMU's limit of NUMA nodes. */
const MAX_BLOCKS = 128;

/**
 * Finds the blocks that are RAM, and their order. The file does not tell: QEMU lists blocks by length, and names the
 * blocks of memory devices as those of memory backends.
 *
 * @param wanted the blocks by the caller, who may know better
 * @param nodes the sizes of the NUMA nodes, in order; empty where that is not known
 * @param isTotal tells whether so many bytes can be all of the RAM
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the file leaves it open, ERR_MAPPED_RAM_INVALID_ARGUMENT for
 *   wanted blocks that there are not
 */
export function ramBlocks(
  { blocks, machine, path }: MachineFacts,
  wanted: readonly string[] | undefined,
  nodes: readonly number[],
  isTotal: (bytes: number) => boolean,
): RamBlocks {
  if (wanted !== undefined) return { blocks: named(wanted, blocks, path), assumptions: [] };
  const { main, isDefault, candidates } = findMainMemory({ machine, blocks, isTotal });
  if (candidates.length > MAX_BLOCKS) {
    const expected = `at most ${MAX_BLOCKS}`;
    const found = candidates.length;
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'blocks of RAM', { path, expected, found });
  }
  if (main !== undefined && isDefault === true) return { blocks: [main], assumptions: [] };
  // A memory device may be as long as all of the nodes.
  const byNode = nodes.length > 0 ? blocksOfNodes(candidates, nodes) : undefined;
  if (byNode !== undefined) return byNode;
  if (main !== undefined) return { blocks: [main], assumptions: [] };
  const [first, ...others] = candidates;
  const sum = candidates.reduce((all, { length }) => all + length, 0);
  if (first !== undefined && isTotal(sum) && others.every(({ length }) => length === first.length)) {
    return { blocks: candidates, assumptions: [inFileOrder(candidates)] };
  }
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    'the file does not tell which blocks are the RAM of the guest, and in which order: name them',
    { path, found: candidates.map(({ id, length }) => `${id} (${length} bytes)`).join(', ') || 'none' },
  );
}

function named(ids: readonly string[], blocks: readonly Block[], path: string): readonly Block[] {
  assertBlocksExist(ids, blocks, path);
  if (ids.length > 0 && new Set(ids).size === ids.length) {
    return ids.flatMap((id) => blocks.filter((block) => block.id === id));
  }
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the blocks of RAM', {
    expected: 'each block once, and at least one',
    found: ids.join(', ') || 'none',
  });
}

/** Finds the block of each node. Blocks of the same length are taken in the file's order. */
function blocksOfNodes(candidates: readonly Block[], sizes: readonly number[]): RamBlocks | undefined {
  const left = [...candidates];
  const found: Block[] = [];
  for (const length of sizes) {
    const at = left.findIndex((candidate) => candidate.length === length);
    if (at === -1) return undefined;
    found.push(...left.splice(at, 1));
  }
  const alike = candidates.filter(({ length }) => sizes.includes(length));
  const isSure = new Set(sizes).size === sizes.length && alike.length === sizes.length;
  return { blocks: found, assumptions: isSure ? [] : [inFileOrder(found)] };
}

function inFileOrder(blocks: readonly Block[]): string {
  const names = blocks.map(({ id }) => id).join(', ');
  return `RAM is ${names}, in this order: blocks of the same length are taken in the file's order, which is that of -object on QEMU's command line`;
}

/** The sizes of the nodes' blocks: the amount of RAM up to the end of each node. */
export function nodeSizes(
  nodes: readonly NodeRange[],
  ramOffset: (address: number) => number,
): readonly number[] {
  const ends = new Map<number, number>();
  for (const { node, address, length } of nodes) {
    // The last byte counts: the byte behind it may be where the hole begins.
    ends.set(node, Math.max(ends.get(node) ?? 0, ramOffset(address + length - 1) + 1));
  }
  const sorted = [...ends.values()].toSorted((left, right) => left - right);
  return sorted.map((end, index) => end - (sorted[index - 1] ?? 0));
}
