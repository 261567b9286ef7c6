import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import type { Mode } from '../modes/mode.ts';
import type { PciSlot } from './destination.ts';
import { lengthCure, romCure } from './length-cure.ts';
import type { MappedFile } from './mapped-file.ts';

interface Place {
  readonly mode: Mode;
  readonly inPlace: readonly string[];
  /** The snapshot's file. */
  readonly file: MappedFile;
  /** QEMU's PCI devices, where they are known: words name the device that a block belongs to. */
  readonly pci?: readonly PciSlot[] | undefined;
}

/**
 * Lists the mismatches between RAM blocks. QEMU itself accepts blocks of another size, and guests that lack some
 * blocks.
 */
export function blockProblems(
  blocks: readonly MappedRamBlock[],
  memory: readonly MemoryBlock[],
  place: Place,
): readonly string[] {
  if (memory.length === 0) return unlistedProblems(blocks, place);
  const missing = blocks.filter(({ id }) => !memory.some((candidate) => candidate.id === id));
  const surplus = memory.filter(
    ({ id, backend }) => backend !== undefined && !blocks.some((block) => block.id === id),
  );
  return [
    ...missing.map(
      ({ id, length }) =>
        `QEMU has no block ${id}, which has ${length} bytes in the snapshot${romCure(id, 'one', place.pci)}`,
    ),
    ...surplus.map(({ id, length }) => `QEMU's memory ${id} (${length} bytes) is not in the snapshot`),
    ...blocks.flatMap((block) => {
      const found = memory.find(({ id }) => id === block.id);
      return found === undefined
        ? []
        : [...lengthProblems(block, found, place), ...placeProblems(block, found, place)];
    }),
  ];
}

/** Lists QEMU's blocks that the snapshot lacks. Blocks without a backend may be of a kind that no snapshot has.
 * @param memory empty when QEMU does not tell */
export function blockWarnings(
  blocks: readonly MappedRamBlock[],
  memory: readonly MemoryBlock[],
  pci?: readonly PciSlot[],
): readonly string[] {
  if (memory.length === 0) {
    return ['QEMU does not list its RAM blocks, so that their names and lengths could not be compared'];
  }
  return memory
    .filter(({ id, backend }) => backend === undefined && !blocks.some((block) => block.id === id))
    .map(({ id }) => `QEMU's block ${id} is not in the snapshot${romCure(id, 'none', pci)}`);
}

/** Lists the mismatches that can be seen although QEMU does not list its blocks. */
function unlistedProblems(
  blocks: readonly MappedRamBlock[],
  { mode, inPlace, file }: Place,
): readonly string[] {
  return blocks.flatMap((block) =>
    block.skipped
      ? [skippedProblem(block)]
      : mode.unlistedProblems(block, { isInPlace: inPlace.includes(block.id), file }),
  );
}

function lengthProblems(
  { id, length }: MappedRamBlock,
  found: MemoryBlock,
  { mode, pci }: Place,
): readonly string[] {
  if (length === found.length || (mode.resizesBlocks && resizes(found, length))) return [];
  const cure = lengthCure(id, length, pci);
  return [`block ${id} has ${length} bytes in the snapshot and ${found.length} in QEMU${cure}`];
}

function resizes({ length, maxLength }: MemoryBlock, wanted: number): boolean {
  return maxLength > length && wanted <= maxLength;
}

function placeProblems(
  block: MappedRamBlock,
  found: MemoryBlock,
  { mode, inPlace, file }: Place,
): readonly string[] {
  if (block.skipped) return [skippedProblem(block)];
  return mode.placeProblems(block, found, { isInPlace: inPlace.includes(block.id), file });
}

export function skippedProblem({ id }: MappedRamBlock): string {
  return `block ${id} was saved without its pages (x-ignore-shared)`;
}
