import { identityOf, isSameFile } from '../../host/file-identity.ts';
import { pathInProcess } from '../../host/path-in-process.ts';
import type { MemoryBackend, MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import type { MappedFile } from './mapped-file.ts';

/** Returns the blocks of a snapshot that a QEMU maps out of it, by id. */
export function mappedBlocks(
  snapshot: Snapshot,
  memory: readonly MemoryBlock[],
  file: MappedFile,
): readonly string[] {
  return snapshot.mappable.blocks
    .filter((block) => {
      const found = memory.find(({ id }) => id === block.id);
      return found?.backend !== undefined && mappingProblems(block, found.backend, file).length === 0;
    })
    .map(({ id }) => id);
}

/** Lists the facts that keep a backend from being a private mapping of a block's pages in the snapshot, in words. */
export function mappingProblems(
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

/**
 * Compares QEMU's mappings with the snapshot's file, where they can be seen: names may belong to other files since QEMU
 * opened them.
 */
function otherFile(
  { area }: MappedRamBlock,
  { path }: MemoryBackend,
  { identity, isMappedAt }: MappedFile,
): string | undefined {
  const words = `is in ${path}, which is not the file that was opened`;
  if (isMappedAt !== undefined) return isMappedAt(area.pagesOffset) ? undefined : words;
  // The process is not known, or closed to this one.
  const seen = path === undefined ? undefined : pathInProcess(undefined, path);
  const found = seen === undefined ? undefined : identityOf(seen);
  return found === undefined || isSameFile(found, identity) ? undefined : words;
}
