import type { ProcessMemoryBlock } from '../../qemu/memory/process-memory.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** The snapshot that the pages come from which a guest has not changed; or why there is none that a save can stand on. */
export type FoundBase =
  | {
      readonly path: string;
      /** Blocks that QEMU has mapped out of it privately. */
      readonly mapped: readonly string[];
      /** Blocks whose pages are still on their way from it: those that QEMU's process lacks are the snapshot's. */
      readonly coming: readonly string[];
      /** True when the snapshot is to get the base's own name. @default false */
      readonly isTarget?: boolean | undefined;
    }
  | {
      readonly rule: 'incremental-needs-clone' | 'base-not-mapped' | 'base-unfit';
      /** The reason in words. */
      readonly words: string;
    };

/** True for a base that the guest's pages are still on their way from. */
export function isComingBase(base: FoundBase | undefined): boolean {
  return base !== undefined && 'coming' in base && base.coming.length > 0;
}

/** What a snapshot lacks that has other blocks than a guest, in words; undefined when it has the same. */
export function differenceInBlocks(
  snapshot: Snapshot,
  blocks: readonly ProcessMemoryBlock[],
): string | undefined {
  const ram = snapshot.completeRam();
  for (const { id, length } of blocks) {
    const there = ram.blocks.find((block) => block.id === id);
    if (there === undefined) return `has no block ${id}, as the guest has`;
    if (there.length !== length || there.skipped) return `has another block ${id}`;
  }
  const gone = ram.blocks.find(({ id }) => !blocks.some((block) => block.id === id));
  return gone && `has a block ${gone.id}, which the guest has lost`;
}
