import { stat } from 'node:fs/promises';

import { pagesIn } from '../../stream/page-area.ts';
import { countSetPages } from '../../pages/bitmap-reader.ts';
import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { QemuFacts } from '../../qemu/qemu-facts.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import { isFirmware } from '../../stream/block-names.ts';
import { filesystemOf } from '../../host/filesystem.ts';
import { pathInProcess } from '../../host/path-in-process.ts';

/** The form that QEMU gets when it reads the memory itself. */
export interface FormForQemu {
  /**
   * `stream` when zero pages have to be sent explicitly, which a mapped-ram file cannot do without their bits, or when
   * QEMU has no mapped-ram.
   */
  readonly form: 'mapped-ram' | 'stream';
  /** The reason for the form, in words. */
  readonly why: string;
  /** Blocks whose memory reads as zeros beforehand, by id. */
  readonly fresh: readonly string[];
}

/** The backends whose memory nobody else can have filled: each has memory of its own that begins with zeros. */
const OWN_MEMORY = new Set(['memory-backend-ram', 'memory-backend-memfd', 'memory-backend-shm']);
/** The filesystems that count the bytes that a file holds, so that 0 means none. */
const COUNTING = new Set([
  'tmpfs',
  'ramfs',
  'hugetlbfs',
  'ext4',
  'xfs',
  'btrfs',
  'f2fs',
  'bcachefs',
  'overlayfs',
]);

/**
 * Decides whether QEMU may read the mapped-ram file. QEMU skips the pages whose bits are clear (docs/format.md §4.2).
 * So QEMU may read it only when every block with such pages is known to read as zeros beforehand. Flash does not: QEMU
 * fills it from its image. Memory made of a file may not, either.
 * @param memory QEMU's blocks; empty when QEMU does not tell
 * @param pid QEMU's process, when it is known
 * @param written blocks into which the board has written something, by id
 */
export async function formForQemu(
  snapshot: Snapshot,
  { memory, features }: Pick<QemuFacts, 'memory' | 'features'>,
  pid: number | undefined,
  written: readonly string[] = [],
): Promise<FormForQemu> {
  const fresh: string[] = [];
  const reasons: string[] = [];
  for (const block of snapshot.completeRam(true).blocks) {
    const found = memory.find(({ id }) => id === block.id);
    const reason = written.includes(block.id)
      ? 'holds what the board has put there'
      : await contentReason(block, found, pid);
    if (reason === undefined) {
      if (found?.backend !== undefined) fresh.push(block.id);
    } else if ((await countSetPages(snapshot.reader, block)) < pagesIn(block.area)) {
      reasons.push(`${block.id} ${reason}`);
    }
  }
  if (snapshot.base !== undefined) {
    return { form: 'stream', why: 'QEMU reads one file, and the pages of a delta are in two', fresh };
  }
  if (!features.mappedRam) return { form: 'stream', why: 'this QEMU has no mapped-ram', fresh };
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
  pid: number | undefined,
): Promise<string | undefined> {
  if (isFirmware(id)) return 'is filled from its image';
  if (found === undefined) return 'may hold something: QEMU does not tell where it is';
  // Memory that a device brings along.
  if (found.backend === undefined || OWN_MEMORY.has(found.backend.type)) return undefined;
  const { type, path } = found.backend;
  if (type !== 'memory-backend-file' || path === undefined)
    return `is in a ${type}, which may hold something`;
  return fileReason(path, pid);
}

async function fileReason(path: string, pid: number | undefined): Promise<string | undefined> {
  const seen = pathInProcess(pid, path);
  const stats = seen === undefined ? undefined : await stat(seen).catch(() => undefined);
  if (seen === undefined || stats === undefined) return `is in ${path}, which cannot be looked at`;
  // QEMU makes a file without a name in a directory.
  if (stats.isDirectory()) return undefined;
  if (!stats.isFile()) return `is in ${path}, which is a device`;
  if (stats.blocks > 0) return `is in ${path}, which holds something`;
  const type = (await filesystemOf(seen))?.type ?? '';
  return COUNTING.has(type)
    ? undefined
    : `is in ${path}, and its filesystem does not tell whether it holds something`;
}
