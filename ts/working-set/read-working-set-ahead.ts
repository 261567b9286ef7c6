import { type FileHandle, open } from 'node:fs/promises';

import { MappedRamError, messageOf, systemCode } from '../errors.ts';
import { pageCacheState, readAhead } from '../engine/page-cache.ts';
import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { readWorkingSet, type WorkingSet, workingSetPath } from './working-set-file.ts';

/** Bytes between two stretches up to which they are read as one: a request costs more than the bytes. */
const GAP = 32 * 2 ** 10;
/** Bytes that are asked for at once, so that an abort need not wait for all of it. */
const BATCH = 32 * 2 ** 20;
/** The most stretches of which the page cache is asked. */
const MOST_LOOKS = 512;
/** The share of the working set in the page cache from which on there is nothing to gain. */
const WARM = 15 / 16;

/** Reading ahead that is under way. */
export interface ReadingAhead {
  /** The file with the working set. */
  readonly path: string;
  /** Bytes of the snapshot that are read ahead: the working set, and small gaps in it. 0 when it is in the page cache. */
  readonly bytes: number;
  /** The share of the working set that was in the page cache before, from 0 to 1; undefined where nobody tells. */
  readonly cachedShare: number | undefined;
  /** Settles when the disk has been asked for all of it. @throws the error that ended it, except an abort */
  readonly whenAsked: Promise<void>;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * Begins to read a snapshot's working set into the page cache, in the order of the file.
 * @param path of the working set; undefined for the one beside the snapshot, if there is one that fits
 * @returns undefined when there is none, with a warning when there is one that does not fit
 * @throws {MappedRamError} for a `path` that was given, as `readWorkingSet`
 */
export async function readWorkingSetAhead(
  snapshot: Snapshot,
  path: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly reading?: ReadingAhead; readonly warnings: readonly string[] }> {
  const { fd, path: name } = localFile(snapshot.reader, 'a working set');
  if (path === undefined && name === undefined) return { warnings: [] };
  const from = path ?? workingSetPath(snapshot);
  let set: WorkingSet;
  try {
    set = await readWorkingSet(from, snapshot);
  } catch (error) {
    if (path !== undefined) throw error;
    const isMissing = error instanceof MappedRamError && systemCode(error.cause) === 'ENOENT';
    return { warnings: isMissing ? [] : [`no working set was read ahead: ${messageOf(error)}`] };
  }
  const ranges = rangesOf(snapshot, set);
  const cachedShare = cachedShareOf(fd, ranges);
  const wanted = cachedShare !== undefined && cachedShare >= WARM ? [] : ranges;
  // The snapshot may be closed before all is read.
  const whenAsked = askFor(await open(`/proc/self/fd/${fd}`), snapshot.path, wanted, signal);
  whenAsked.catch(() => undefined);
  const bytes = wanted.reduce((sum, { length }) => sum + length, 0);
  return { reading: { path: from, bytes, cachedShare, whenAsked }, warnings: [] };
}

async function askFor(
  file: FileHandle,
  name: string,
  ranges: readonly Range[],
  signal: AbortSignal,
): Promise<void> {
  await using _ = file;
  for (let at = 0; at < ranges.length && !signal.aborted;) {
    const batch: number[] = [];
    for (let bytes = 0; at < ranges.length && bytes < BATCH; at += 1) {
      const { offset = 0, length = 0 } = ranges[at] ?? {};
      batch.push(offset, length);
      bytes += length;
    }
    await readAhead(file.fd, name, batch);
  }
}

/** The stretches of the file that have the working set, in order, with small gaps filled. */
function rangesOf(snapshot: Snapshot, set: WorkingSet): readonly Range[] {
  const blocks = snapshot
    .completeRam(true)
    .blocks.toSorted((a, b) => a.area.pagesOffset - b.area.pagesOffset);
  const ranges: { offset: number; length: number }[] = [];
  for (const { id, area } of blocks) {
    for (const { offset, length } of set.get(id)?.stretches() ?? []) {
      const start = area.pagesOffset + offset;
      const last = ranges.at(-1);
      if (last !== undefined && start - (last.offset + last.length) <= GAP) {
        last.length = start + length - last.offset;
      } else {
        ranges.push({ offset: start, length });
      }
    }
  }
  return ranges;
}

function cachedShareOf(fd: number, ranges: readonly Range[]): number | undefined {
  const step = Math.max(1, Math.ceil(ranges.length / MOST_LOOKS));
  let [cached, looked] = [0, 0];
  for (let at = 0; at < ranges.length; at += step) {
    const range = ranges[at];
    const state = range === undefined ? undefined : pageCacheState(fd, range);
    if (range === undefined || state === undefined) return undefined;
    // The kernel counts whole pages of its own.
    cached += Math.min(state.cachedBytes, range.length);
    looked += range.length;
  }
  return looked === 0 ? undefined : cached / looked;
}
