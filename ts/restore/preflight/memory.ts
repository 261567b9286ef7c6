import { statSync } from 'node:fs';

import type { MemoryBackend, MemoryBlock, RestoreMode } from '../../negotiate/plan.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import type { MappedFile } from './mapped-file.ts';

interface Place {
  readonly mode: RestoreMode;
  readonly inPlace: readonly string[];
  /** The snapshot's. */
  readonly file: MappedFile;
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
  const { mode, inPlace, file } = place;
  if (block.skipped) return [`block ${block.id} was saved without its pages (x-ignore-shared)`];
  if (!inPlace.includes(block.id) || mode === 'eager') return [];
  const { backend } = found;
  if (backend === undefined) return [`block ${block.id} has no memory backend, so nothing can be in place`];
  if (mode === 'preload') return [];
  const wrong = mapsSnapshot(block, backend, file);
  return wrong.length === 0 ? [] : [`block ${block.id} does not map the snapshot: it ${wrong.join(', ')}`];
}

/** What keeps a backend from being a private mapping of a block's pages in the snapshot, in words. */
export function mapsSnapshot(
  block: MappedRamBlock,
  backend: MemoryBackend,
  file: MappedFile,
): readonly string[] {
  const wrong = [
    backend.type === 'memory-backend-file' ? undefined : `is of type ${backend.type}`,
    backend.share ? 'is shared, so that the guest would write into the snapshot' : undefined,
    backend.offset === block.area.pagesOffset
      ? undefined
      : `begins at ${backend.offset}, not at ${block.area.pagesOffset}`,
    otherFile(block, backend, file),
  ];
  return wrong.filter((words) => words !== undefined);
}

/** What can only be believed of a QEMU that maps the snapshot. */
export function mappingWarnings({ mode, file }: Place): readonly string[] {
  if (mode !== 'instant' || file.isMappedAt !== undefined) return [];
  return [
    `that QEMU maps this very file could not be seen, only that it maps one of its name: if ${file.path} was replaced since QEMU was started, the guest has the memory of another snapshot`,
  ];
}

/** Names may have been given to other files since QEMU opened them: its mappings are asked where they can be seen. */
function otherFile(
  { area }: MappedRamBlock,
  { path }: MemoryBackend,
  { dev, ino, isMappedAt }: MappedFile,
): string | undefined {
  const words = `is in ${path}, which is not the file that was opened`;
  if (isMappedAt !== undefined) return isMappedAt(area.pagesOffset) ? undefined : words;
  const found = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false, bigint: true });
  return found === undefined || (found.dev === dev && found.ino === ino) ? undefined : words;
}
