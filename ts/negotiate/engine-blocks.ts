import type { FileMemoryBlock, MemoryBlock } from '../qemu/memory-block.ts';

/**
 * Largest length in bytes of a small block. Small blocks (firmware, tables, video memory) go with QEMU's device state
 * without holding it up.
 */
export const LARGE_BLOCK: number = 16 * 1024 * 1024;

export interface EngineBlocks {
  /**
   * Blocks that QEMU shares in named files. QEMU leaves these out with x-ignore-shared, and the engine can write them.
   */
  readonly reachable: readonly FileMemoryBlock[];
  /** Blocks that QEMU would leave out, too, but that this process cannot read. */
  readonly unreachable: readonly MemoryBlock[];
  /** Large blocks that only QEMU can access. */
  readonly private: readonly MemoryBlock[];
}

/** Sorts blocks into those that the engine can write and those that it cannot. */
export function engineBlocks(memory: readonly MemoryBlock[]): EngineBlocks {
  const [shared, own] = [memory.filter(isIgnoredShared), memory.filter((block) => !isIgnoredShared(block))];
  return {
    reachable: shared.flatMap((block) => (block.file === undefined ? [] : [{ ...block, file: block.file }])),
    unreachable: shared.filter(({ file }) => file === undefined),
    private: own.filter(({ length }) => length > LARGE_BLOCK),
  };
}

/** True when QEMU takes a block for shared memory: a file with a name, mapped shared (docs/format.md §10). */
function isIgnoredShared({ backend }: MemoryBlock): boolean {
  return backend?.type === 'memory-backend-file' && backend.share;
}
