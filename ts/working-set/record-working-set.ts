import { setTimeout as delay } from 'node:timers/promises';

import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import { changedPages } from '../engine/process/changed-pages.ts';
import { identityOf, isSameFile } from '../host/file-identity.ts';
import { type FileInProcess, findFileIn } from '../host/process-mappings.ts';
import type { Stretch } from '../host/touched-pages.ts';
import { namedFile, type OpenSource } from '../io/open-source.ts';
import { BitmapCache } from '../pages/bitmap-cache.ts';
import { pageRuns } from '../pages/page-runs.ts';
import { assertClient } from '../qmp/assert-client.ts';
import type { QmpClient } from '../qmp/client.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import { type ComingMemory, comingMemoryOf } from '../qemu/memory/coming-memory.ts';
import { queryRamBlocks, type RamBlockRow } from '../qemu/memory/query-ram-blocks.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import { type MappedSnapshot, mappedSnapshot } from './mapped-snapshot.ts';
import { PageSet } from './page-set.ts';
import { workingSetPath, writeWorkingSet } from './working-set-file.ts';

export interface RecordOptions {
  /** Milliseconds to wait before the look. @default 0 */
  readonly after?: number | undefined;
  /** The file that is written; an older one is replaced. @default the path of the snapshot, or
   * of a delta's base, with `.working-set` behind it */
  readonly path?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A working set that was recorded. */
export interface RecordedWorkingSet {
  readonly path: string;
  /** Bytes of pages that are in the snapshot, and that the guest has touched. */
  readonly bytes: number;
  /** The blocks that QEMU maps out of the snapshot, by id. */
  readonly blocks: readonly string[];
}

/**
 * Notes which pages of a snapshot a guest has touched since it was restored in mode `instant`, or in mode `lazy` with the
 * push `off`, over the same connection. The next restore of the snapshot reads these pages ahead while QEMU starts, and
 * mode `lazy` brings them before all others. A record of a guest that was restored from a delta is one of the base, which
 * `instant` maps.
 *
 * The kernel may map pages around a touched one that were in the page cache, so a record of a guest whose snapshot was
 * cached has more than the guest needs.
 *
 * @param qmp of the guest's QEMU, on this host
 * @param source the snapshot that the guest was restored from
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when QEMU's process is not known, may not be looked into, maps
 *   no block of the snapshot, or gets pages that the guest has not touched; ERR_MAPPED_RAM_IO when the file cannot be written; ERR_MAPPED_RAM_INVALID_ARGUMENT; the
 *   signal's reason
 */
export async function recordWorkingSet(
  qmp: QmpClient,
  source: SnapshotSource | Snapshot,
  options: RecordOptions = {},
): Promise<RecordedWorkingSet> {
  assertClient(qmp);
  assertOptions(options);
  const { after = 0, signal } = options;
  if (!Number.isFinite(after) || after < 0) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'after', {
      expected: 'milliseconds, 0 or more',
      found: String(after),
    });
  }
  signal?.throwIfAborted();
  return usingSnapshot(source, signal, async (opened) => {
    const snapshot = await mappedSnapshot(opened);
    const path = options.path ?? workingSetPath(snapshot.file);
    if (path === undefined) {
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'path of the working set', {
        expected: 'a path, as the snapshot was given by a descriptor',
        found: 'none',
      });
    }
    // What cannot be recorded is known before the wait.
    await look(qmp, opened, snapshot, signal);
    if (after > 0) await delay(after, undefined, { signal }).catch(() => signal?.throwIfAborted());
    const found = await look(qmp, opened, snapshot, signal);
    const sets = new Map<string, PageSet>();
    let bytes = 0;
    for (const { block, touched } of found) {
      const set = PageSet.none(block.area);
      for await (const part of inSnapshot(snapshot.reader, block, touched)) {
        set.add(part);
        bytes += part.length;
      }
      sets.set(block.id, set);
    }
    signal?.throwIfAborted();
    await writeWorkingSet(path, snapshot, sets);
    return { path, bytes, blocks: [...sets.keys()] };
  });
}

interface TouchedBlock {
  readonly block: MappedRamBlock;
  /** Offset and length of each run of touched pages in turn, in bytes from the block's beginning. */
  readonly touched: Float64Array;
}

/** Looks which pages of each block QEMU's process has in its page table, or in swap, because the guest has touched them. */
async function look(
  qmp: QmpClient,
  opened: Snapshot,
  snapshot: MappedSnapshot,
  signal: AbortSignal | undefined,
): Promise<readonly TouchedBlock[]> {
  const { pid } = await identifyQemu(qmp, { signal });
  const { path } = snapshot;
  if (pid === undefined) throw unsupported('the process of QEMU is not known', path);
  const rows = (await queryRamBlocks(qmp, { signal })) ?? [];
  const coming = comingMemoryOf(qmp);
  const addressOfBlock = isOf(opened, coming)
    ? placeOfComing(coming, path)
    : await placeOfMapped(pid, snapshot);
  const seen = snapshot.blocks.flatMap((block) => {
    const address = addressOfBlock(
      block,
      rows.find(({ id }) => id === block.id),
    );
    return address === undefined ? [] : [{ block, address, length: block.area.length }];
  });
  if (seen.length === 0) throw unsupported(`QEMU (process ${pid}) maps no block of the snapshot`, path);
  const pages = await changedPages(pid, seen, 'present').catch((cause: unknown) => {
    throw unsupported(`the pages of process ${pid} cannot be seen`, path, cause);
  });
  return seen.map(({ block }, at) => ({ block, touched: pages[at] ?? new Float64Array() }));
}

/** Finds the address of a block; undefined for one whose pages come from somewhere else. */
type Place = (block: MappedRamBlock, row: RamBlockRow | undefined) => number | undefined;

async function placeOfMapped(pid: number, { path, file: { fd } }: MappedSnapshot): Promise<Place> {
  const file = identityOf(fd);
  const found = file === undefined ? undefined : await findFileIn(pid, file);
  if (found === undefined) throw unsupported(`this process may not look into process ${pid}`, path);
  return (block, row) => (found.isOpen ? addressOf(block, row, found.mappings) : undefined);
}

/** A memory that comes page by page is that of no file. The pages that are there were asked for, unless others come, too. */
function placeOfComing({ pushes }: ComingMemory, path: string): Place {
  if (pushes)
    throw unsupported("pages come that the guest has not touched: restore it with push 'off'", path);
  return ({ length }, row) => (row?.usedLength === length ? row.hostAddress : undefined);
}

function isOf({ reader }: Snapshot, coming: ComingMemory | undefined): coming is ComingMemory {
  const own = namedFile(reader);
  const file = own && identityOf(own.fd);
  return coming !== undefined && file !== undefined && isSameFile(file, coming.file);
}

/** The address at which QEMU has a block's pages out of the file; undefined when its memory is somewhere else. */
function addressOf(
  { area: { pagesOffset, length } }: MappedRamBlock,
  row: RamBlockRow | undefined,
  mappings: FileInProcess['mappings'],
): number | undefined {
  for (const { start, end, offset, isShared } of mappings) {
    // Blocks that follow each other in the file as well as in memory are one mapping.
    const address = start + pagesOffset - offset;
    const isThere = offset <= pagesOffset && address + length <= end;
    if (isThere && !isShared && (row?.hostAddress ?? address) === address) return address;
  }
  return undefined;
}

/** The parts of touched runs that the snapshot has pages for: reading a hole ahead would help nobody. */
async function* inSnapshot(
  reader: OpenSource,
  { area }: MappedRamBlock,
  touched: Float64Array,
): AsyncGenerator<Stretch, void, void> {
  let at = 0;
  for await (const { offset, length, fileOffset } of pageRuns(new BitmapCache(reader), area)) {
    if (fileOffset === undefined) continue;
    const end = offset + length;
    for (; at < touched.length; at += 2) {
      const [from = end, size = 0] = touched.subarray(at, at + 2);
      if (from >= end) break;
      const [start, stop] = [Math.max(from, offset), Math.min(from + size, end)];
      if (start < stop) yield { offset: start, length: stop - start };
      // The rest of a run may reach into the next one of the snapshot.
      if (from + size > end) break;
    }
  }
}

function unsupported(words: string, path: string, cause?: unknown): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `the working set cannot be seen: ${words}`, {
    path,
    cause,
  });
}
