import { setTimeout as delay } from 'node:timers/promises';

import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import { identityOf } from '../host/file-identity.ts';
import { findFileIn } from '../host/process-mappings.ts';
import { type Stretch, touchedPages } from '../host/touched-pages.ts';
import { localFile } from '../io/open-source.ts';
import { assertClient } from '../qmp/assert-client.ts';
import type { QmpClient } from '../qmp/client.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import { queryRamBlocks } from '../qemu/query-ram-blocks.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import { PageSet } from './page-set.ts';
import { workingSetPath, writeWorkingSet } from './working-set-file.ts';

export interface RecordOptions {
  /** Milliseconds to wait before the look. @default 0 */
  readonly after?: number | undefined;
  /** The file that is written; an older one is replaced. @default the snapshot's path with `.working-set` behind it */
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
 * Notes which pages of a snapshot a guest has touched since it was restored in mode `instant`. The next restore of the
 * snapshot reads these pages ahead while QEMU starts.
 *
 * The kernel may map pages around a touched one that were in the page cache, so a record of a guest whose snapshot was
 * cached has more than the guest needs.
 *
 * @param qmp of the guest's QEMU, on this host
 * @param source the snapshot that the guest was restored from
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when QEMU's process is not known, may not be looked into, or maps
 *   no block of the snapshot; ERR_MAPPED_RAM_IO when the file cannot be written; ERR_MAPPED_RAM_INVALID_ARGUMENT; the
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
  return usingSnapshot(source, signal, async (snapshot) => {
    const path = options.path ?? workingSetPath(snapshot);
    // What cannot be recorded is known before the wait.
    await look(qmp, snapshot, signal);
    if (after > 0) await delay(after, undefined, { signal }).catch(() => signal?.throwIfAborted());
    const found = await look(qmp, snapshot, signal);
    const sets = new Map<string, PageSet>();
    let bytes = 0;
    for (const { block, touched } of found) {
      const set = PageSet.none(block.area);
      for await (const part of inSnapshot(snapshot, block, touched)) {
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
  readonly touched: readonly Stretch[];
}

/** Looks which pages of each mapped block QEMU's process has in its page table, or in swap. */
async function look(
  qmp: QmpClient,
  snapshot: Snapshot,
  signal: AbortSignal | undefined,
): Promise<readonly TouchedBlock[]> {
  const { path } = snapshot;
  const { fd } = localFile(snapshot.reader, 'a working set');
  const { pid } = await identifyQemu(qmp, { signal });
  if (pid === undefined) throw unsupported('the process of QEMU is not known', path);
  const file = identityOf(fd);
  const found = file === undefined ? undefined : await findFileIn(pid, file);
  if (found === undefined) throw unsupported(`this process may not look into process ${pid}`, path);
  const rows = (await queryRamBlocks(qmp, { signal })) ?? [];
  // The blocks of ordinary memory have the host's own page size, which is the smallest.
  const pageSize = Math.min(...rows.map(({ hostPageSize }) => hostPageSize));
  if (!Number.isFinite(pageSize)) throw unsupported('QEMU does not list its blocks', path);
  const all = await Promise.all(
    snapshot.completeRam(true).blocks.map(async (block): Promise<readonly TouchedBlock[]> => {
      const mapping = found.mappings.find(
        ({ isShared, offset }) => !isShared && offset === block.area.pagesOffset,
      );
      if (mapping === undefined) return [];
      const length = Math.min(block.area.length, mapping.end - mapping.start);
      const place = { address: mapping.start, length };
      const touched = await touchedPages(pid, place, pageSize).catch((cause: unknown) => {
        throw unsupported(`the pages of process ${pid} cannot be seen`, path, cause);
      });
      return [{ block, touched }];
    }),
  );
  const mapped = all.flat();
  if (mapped.length === 0) throw unsupported(`QEMU (process ${pid}) maps no block of the snapshot`, path);
  return mapped;
}

/** The parts of touched stretches that the snapshot has pages for: reading a hole ahead would help nobody. */
async function* inSnapshot(
  snapshot: Snapshot,
  { id }: MappedRamBlock,
  touched: readonly Stretch[],
): AsyncGenerator<Stretch, void, void> {
  let at = 0;
  for await (const { offset, length, fileOffset } of snapshot.pages(id)) {
    if (fileOffset === undefined) continue;
    const end = offset + length;
    for (; at < touched.length; at += 1) {
      const { offset: from = end, length: size = 0 } = touched[at] ?? {};
      if (from >= end) break;
      const [start, stop] = [Math.max(from, offset), Math.min(from + size, end)];
      if (start < stop) yield { offset: start, length: stop - start };
      // The rest of a stretch may reach into the next run.
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
