import type { FileHandle } from 'node:fs/promises';

import { changedPages, type ProcessPages } from '../../engine/process/changed-pages.ts';
import { dataRanges } from '../../engine/process/data-ranges.ts';
import { allRuns, type ByteRuns } from '../../pages/byte-runs.ts';
import type { ProcessMemory, ProcessMemoryBlock } from '../../qemu/memory/process-memory.ts';

/** A file beneath the memory. */
export interface OpenFile {
  readonly handle: FileHandle;
  /**
   * True when its data are read as long as the guest stands still: QEMU shares it, or gives memory back by punching holes
   * into it.
   */
  readonly isRead: boolean;
}

/** The facts that decide how the pages of a guest are looked for. */
export interface PageSearch {
  /** The size of the machine's pages in bytes. */
  readonly pageSize: number;
  /** The blocks that still get pages, by id: a page that is not there is still somebody else's, and cannot be read. */
  readonly coming: readonly string[];
}

/**
 * Finds the pages of each block that only the process has, and those of shared memory that exist. Reads none of them.
 * @param files beneath the blocks, by their ids
 * @throws {MappedRamError} as `changedPages` and `dataRanges`
 */
export async function findOwnPages(
  { pid, blocks }: ProcessMemory,
  { pageSize: unit, coming }: PageSearch,
  files: ReadonlyMap<string, OpenFile>,
): Promise<readonly ByteRuns[]> {
  const waysOf = ({ id, beneath }: ProcessMemoryBlock): ProcessPages | undefined => {
    // The kernel may have merged a page of zeros with its own, and a file in huge pages may show only those that hold
    // something: neither is a page that is yet to come.
    if (coming.includes(id)) return 'present';
    if (beneath.kind === 'shared') return undefined;
    return beneath.kind === 'anonymous' ? 'data' : 'changed';
  };
  const own = new Map<ProcessMemoryBlock, ByteRuns>();
  const search = async (pages: ProcessPages): Promise<void> => {
    const searched = blocks.filter((block) => waysOf(block) === pages);
    const found = await changedPages(pid, searched, pages, { unit });
    for (const [index, block] of searched.entries()) own.set(block, found[index] ?? new Float64Array());
  };
  await Promise.all((['data', 'changed', 'present'] as const).map(search));
  const runs: ByteRuns[] = [];
  for (const block of blocks) {
    const { id, length, beneath } = block;
    const { handle, isRead = false } = files.get(id) ?? {};
    const data =
      beneath.kind !== 'anonymous' && handle !== undefined && isRead
        ? await dataRanges(handle.fd, beneath.file.name, { offset: beneath.file.offset, length }, unit)
        : new Float64Array();
    runs.push(allRuns(own.get(block) ?? new Float64Array(), data, length));
  }
  return runs;
}
