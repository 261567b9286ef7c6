import { pagesIn } from '../../stream/page-area.ts';
import { countSetPages } from '../../pages/bitmap-reader.ts';
import type { MemoryBlock } from '../../qemu/memory-block.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import { isDefaultMemory, isFirmware } from '../../stream/block-names.ts';
import { stat } from 'node:fs/promises';

/** The form that QEMU gets when it reads the memory itself. */
export interface FormForQemu {
  /** `stream` when zero pages have to be sent explicitly, which a mapped-ram file cannot do without their bits. */
  readonly form: 'mapped-ram' | 'stream';
  /** The reason for the form, in words. */
  readonly why: string;
  /** Blocks whose memory reads as zeros beforehand, by id. */
  readonly fresh: readonly string[];
}

/**
 * Decides whether QEMU may read the mapped-ram file. QEMU skips the pages whose bits are clear (docs/format.md §4.2).
 * So QEMU may read it only when every block with such pages reads as zeros beforehand. Flash does not: QEMU fills it
 * from its image. Memory made of a file may not, either.
 */
export async function formForQemu(snapshot: Snapshot, memory: readonly MemoryBlock[]): Promise<FormForQemu> {
  const fresh: string[] = [];
  const reasons: string[] = [];
  for (const block of snapshot.completeRam(true).blocks) {
    const found = memory.find(({ id }) => id === block.id);
    const reason = await contentReason(block, found);
    if (reason === undefined) {
      if (found?.backend !== undefined || isDefaultMemory(block.id)) fresh.push(block.id);
    } else if ((await countSetPages(snapshot.reader, block)) < pagesIn(block.area)) {
      reasons.push(`${block.id} ${reason}`);
    }
  }
  return reasons.length === 0
    ? { form: 'mapped-ram', why: 'QEMU reads the file', fresh }
    : {
        form: 'stream',
        why: `zero pages are sent explicitly, because QEMU would leave them out: ${reasons.join(', ')}`,
        fresh,
      };
}

/** Returns the reason why a block's memory may hold something before the guest comes; undefined when it cannot. */
async function contentReason(
  { id }: MappedRamBlock,
  found: MemoryBlock | undefined,
): Promise<string | undefined> {
  if (isFirmware(id)) return 'is filled from its image';
  const path = found?.backend?.type === 'memory-backend-file' ? found.backend.path : undefined;
  if (path === undefined) return undefined;
  const blocks = await stat(path).then(
    (stats) => stats.blocks,
    () => undefined,
  );
  if (blocks === 0) return undefined;
  return blocks === undefined
    ? `is in ${path}, which cannot be looked at`
    : `is in ${path}, which holds something`;
}
