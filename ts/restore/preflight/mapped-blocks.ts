import type { MemoryBlock } from '../../qemu/memory-block.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MappedFile } from './mapped-file.ts';
import { mapsSnapshot } from './memory.ts';

/** The blocks of a snapshot that a QEMU maps out of it, by id. */
export function mappedBlocks(
  snapshot: Snapshot,
  memory: readonly MemoryBlock[],
  file: MappedFile,
): readonly string[] {
  return snapshot
    .completeRam(true)
    .blocks.filter((block) => {
      const found = memory.find(({ id }) => id === block.id);
      return found?.backend !== undefined && mapsSnapshot(block, found.backend, file).length === 0;
    })
    .map(({ id }) => id);
}
