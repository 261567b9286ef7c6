import type { FileMemoryBlock, MemoryBlock } from '../qemu/memory-block.ts';

/** Blocks up to this many bytes (firmware, tables, video memory) go with QEMU's device state without holding it up. */
export const LARGE_BLOCK: number = 16 * 1024 * 1024;

export interface EngineBlocks {
  /** Blocks that QEMU shares in named files: with x-ignore-shared it leaves these out, and the engine can write them. */
  readonly reachable: readonly FileMemoryBlock[];
  /** Blocks that QEMU would leave out, too, but that cannot be read from here. */
  readonly unreachable: readonly MemoryBlock[];
  /** Large blocks that only QEMU can get at. */
  readonly private: readonly MemoryBlock[];
}

/** Sorts blocks into those that the engine can write and those that stand in its way. */
export function engineBlocks(memory: readonly MemoryBlock[]): EngineBlocks {
  const [shared, own] = [memory.filter(isIgnoredShared), memory.filter((block) => !isIgnoredShared(block))];
  return {
    reachable: shared.flatMap((block) => (block.file === undefined ? [] : [{ ...block, file: block.file }])),
    unreachable: shared.filter(({ file }) => file === undefined),
    private: own.filter(({ length }) => length > LARGE_BLOCK),
  };
}

/** Tells whether QEMU takes a block for shared memory: a file with a name, mapped shared (docs/format.md §10). */
function isIgnoredShared({ backend }: MemoryBlock): boolean {
  return backend?.type === 'memory-backend-file' && backend.share;
}
