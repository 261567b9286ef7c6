import type { FileMemoryBlock, MemoryBlock } from '../qemu/memory-block.ts';

/** Blocks up to this many bytes (firmware, tables, video memory) go with QEMU's device state without holding it up. */
export const LARGE_BLOCK: number = 16 * 1024 * 1024;

export interface EngineBlocks {
  /** QEMU shares them in named files: with x-ignore-shared it leaves these out, and the engine can write them. */
  readonly reachable: readonly FileMemoryBlock[];
  /** QEMU would leave them out too, but they cannot be read from here. */
  readonly unreachable: readonly MemoryBlock[];
  /** Large, and only QEMU can get at them. */
  readonly private: readonly MemoryBlock[];
}

/** Which blocks the engine can write, and which stand in its way. */
export function engineBlocks(memory: readonly MemoryBlock[]): EngineBlocks {
  const [shared, own] = [memory.filter(isIgnoredShared), memory.filter((block) => !isIgnoredShared(block))];
  return {
    reachable: shared.flatMap((block) => (block.file === undefined ? [] : [{ ...block, file: block.file }])),
    unreachable: shared.filter(({ file }) => file === undefined),
    private: own.filter(({ length }) => length > LARGE_BLOCK),
  };
}

/** What QEMU takes for shared memory: a file with a name, mapped shared (docs/format.md §10). */
function isIgnoredShared({ backend }: MemoryBlock): boolean {
  return backend?.type === 'memory-backend-file' && backend.share;
}
