import { statSync } from 'node:fs';

import type { MemoryBackend, MemoryBlock, RestoreMode } from '../qemu/plan.ts';
import type { MappedRamBlock } from '../stream/index.ts';

interface Place {
  readonly mode: RestoreMode;
  readonly inPlace: readonly string[];
  /** The snapshot's. */
  readonly path: string;
}

/** What RAM blocks have against each other. QEMU takes blocks of another size, and guests that lack some. */
export function blockProblems(
  blocks: readonly MappedRamBlock[],
  memory: readonly MemoryBlock[],
  place: Place,
): readonly string[] {
  if (memory.length === 0) return [];
  const missing = blocks.filter(({ id }) => !memory.some((candidate) => candidate.id === id));
  const surplus = memory.filter(
    ({ id, backend }) => backend !== undefined && !blocks.some((block) => block.id === id),
  );
  return [
    ...missing.map(({ id, length }) => `QEMU has no block ${id}, which has ${length} bytes in the snapshot`),
    ...surplus.map(({ id, length }) => `QEMU's memory ${id} (${length} bytes) is not in the snapshot`),
    ...blocks.flatMap((block) => {
      const found = memory.find(({ id }) => id === block.id);
      return found === undefined
        ? []
        : [...lengthProblems(block, found, place), ...placeProblems(block, found, place)];
    }),
  ];
}

/** Blocks without a backend may be such as no snapshot has. */
export function blockWarnings(
  blocks: readonly MappedRamBlock[],
  memory: readonly MemoryBlock[],
): readonly string[] {
  return memory
    .filter(({ id, backend }) => backend === undefined && !blocks.some((block) => block.id === id))
    .map(({ id }) => `QEMU's block ${id} is not in the snapshot`);
}

function lengthProblems(
  { id, length }: MappedRamBlock,
  found: MemoryBlock,
  { mode }: Place,
): readonly string[] {
  // A plain stream resizes what can be resized (ACPI tables); mapped-ram does not.
  const fits = mode === 'eager' ? length === found.length : length === found.length || resizes(found, length);
  return fits ? [] : [`block ${id} has ${length} bytes in the snapshot and ${found.length} in QEMU`];
}

function resizes({ length, maxLength }: MemoryBlock, wanted: number): boolean {
  return maxLength > length && wanted <= maxLength;
}

function placeProblems(block: MappedRamBlock, found: MemoryBlock, place: Place): readonly string[] {
  const { mode, inPlace, path } = place;
  if (block.skipped) return [`block ${block.id} was saved without its pages (x-ignore-shared)`];
  if (!inPlace.includes(block.id) || mode === 'eager') return [];
  const { backend } = found;
  if (backend === undefined) return [`block ${block.id} has no memory backend, so nothing can be in place`];
  if (mode === 'preload') return [];
  const wrong = mapsSnapshot(block, backend, path);
  return wrong.length === 0 ? [] : [`block ${block.id} does not map the snapshot: it ${wrong.join(', ')}`];
}

/** What keeps a backend from being a private mapping of a block's pages in the snapshot, in words. */
export function mapsSnapshot(block: MappedRamBlock, backend: MemoryBackend, path: string): readonly string[] {
  const wrong = [
    backend.type === 'memory-backend-file' ? undefined : `is of type ${backend.type}`,
    backend.share ? 'is shared, so that the guest would write into the snapshot' : undefined,
    backend.offset === block.pagesOffset
      ? undefined
      : `begins at ${backend.offset}, not at ${block.pagesOffset}`,
    backend.path === undefined || sameFile(backend.path, path) ? undefined : `is in ${backend.path}`,
  ];
  return wrong.filter((words) => words !== undefined);
}

/** Unless both can be looked at, QEMU's word for it is taken. */
function sameFile(left: string, right: string): boolean {
  const [one, other] = [left, right].map((path) => statSync(path, { throwIfNoEntry: false }));
  return one === undefined || other === undefined || (one.dev === other.dev && one.ino === other.ino);
}
