import type { FileMemoryBlock, MemoryBlock } from '../qemu/memory/memory-block.ts';

/**
 * Most bytes of a block that go with QEMU's device state without holding it up: firmware, tables, video memory. Zero
 * pages do not count, because QEMU writes 9 bytes for one (docs/format.md §3).
 */
export const LARGE_BLOCK: number = 16 * 1024 * 1024;

export interface EngineBlocks {
  /**
   * Blocks that QEMU shares in named files. QEMU leaves these out with x-ignore-shared, and the engine can write them.
   */
  readonly reachable: readonly FileMemoryBlock[];
  /** Blocks that QEMU would leave out, too, but that this process cannot read. */
  readonly unreachable: readonly MemoryBlock[];
  /** Blocks that only QEMU can access, and that hold much, or may. */
  readonly private: readonly MemoryBlock[];
  /** Large blocks that only QEMU can access, and that were found to hold little. */
  readonly nearlyEmpty: readonly MemoryBlock[];
}

/** Sorts blocks into those that the engine can write and those that it cannot. */
export function engineBlocks(memory: readonly MemoryBlock[]): EngineBlocks {
  const [shared, own] = [memory.filter(isIgnoredShared), memory.filter((block) => !isIgnoredShared(block))];
  return {
    reachable: shared.flatMap((block) => (block.file === undefined ? [] : [{ ...block, file: block.file }])),
    unreachable: shared.filter(({ file }) => file === undefined),
    private: own.filter((block) => bytesToWrite(block) > LARGE_BLOCK),
    nearlyEmpty: own.filter((block) => block.length > LARGE_BLOCK && bytesToWrite(block) <= LARGE_BLOCK),
  };
}

/** Upper bound of the bytes of a block that QEMU writes, zero pages aside. */
export function bytesToWrite({ length, heldBytes }: MemoryBlock): number {
  return Math.min(length, heldBytes ?? length);
}

/** True when QEMU takes a block for shared memory: a file with a name, mapped shared (docs/format.md §10). */
function isIgnoredShared({ backend }: MemoryBlock): boolean {
  return backend?.type === 'memory-backend-file' && backend.share;
}
