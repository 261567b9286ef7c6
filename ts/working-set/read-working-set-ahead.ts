import { type FileHandle, open } from 'node:fs/promises';

import { pageCacheState, readAhead } from '../engine/page-cache.ts';
import { ioError } from '../io/fd-io.ts';
import type { LocalFile } from '../io/open-source.ts';
import type { FoundWorkingSet } from './find-working-set.ts';
import type { MappedSnapshot } from './mapped-snapshot.ts';
import type { WorkingSet } from './working-set-file.ts';

/** Bytes between two stretches up to which they are read as one: a request costs more than the bytes. */
const GAP = 32 * 2 ** 10;
/** Bytes that are asked for at once, so that an abort need not wait for all of it. */
const BATCH = 32 * 2 ** 20;
/** Ranges that are asked for at once, for the same reason. */
const MOST_RANGES = 4096;
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
 * Begins to read a working set into the page cache, in the order of the snapshot's file.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the snapshot cannot be opened anew
 */
export async function readWorkingSetAhead(
  { path, snapshot, pages }: FoundWorkingSet,
  signal: AbortSignal,
): Promise<ReadingAhead> {
  const { file } = snapshot;
  const ranges = (): Iterable<Range> => rangesOf(snapshot, pages);
  const { count, bytes } = sumOf(ranges());
  const cachedShare = cachedShareOf(file.fd, ranges(), count);
  const isWarm = cachedShare !== undefined && cachedShare >= WARM;
  // The snapshot may be closed before all is read.
  const whenAsked = isWarm ? Promise.resolve() : askFor(await reopen(file), file.name, ranges(), signal);
  whenAsked.catch(() => undefined);
  return { path, bytes: isWarm ? 0 : bytes, cachedShare, whenAsked };
}

/** Opens a file anew that this process has open, whatever has its name meanwhile. */
function reopen({ fd, name }: LocalFile): Promise<FileHandle> {
  return open(`/proc/self/fd/${fd}`).catch((cause: unknown) => {
    throw ioError('cannot open the snapshot for reading ahead', name, cause);
  });
}

async function askFor(
  file: FileHandle,
  name: string,
  ranges: Iterable<Range>,
  signal: AbortSignal,
): Promise<void> {
  await using _ = file;
  let batch: number[] = [];
  let bytes = 0;
  const ask = async (): Promise<void> => {
    if (!signal.aborted) await readAhead(file.fd, name, batch);
    [batch, bytes] = [[], 0];
  };
  for (const { offset, length } of ranges) {
    for (let done = 0; done < length; done += BATCH) {
      const part = Math.min(BATCH, length - done);
      batch.push(offset + done, part);
      bytes += part;
      if (bytes >= BATCH || batch.length >= 2 * MOST_RANGES) await ask();
      if (signal.aborted) return;
    }
  }
  await ask();
}

/** The stretches of the file that have the working set, in order, with small gaps filled. */
function* rangesOf({ blocks }: MappedSnapshot, set: WorkingSet): Generator<Range, void, void> {
  let last: { offset: number; length: number } | undefined;
  for (const { id, area } of blocks.toSorted((a, b) => a.area.pagesOffset - b.area.pagesOffset)) {
    for (const { offset, length } of set.get(id)?.stretches() ?? []) {
      const start = area.pagesOffset + offset;
      if (last !== undefined && start - (last.offset + last.length) <= GAP) {
        last.length = start + length - last.offset;
        continue;
      }
      if (last !== undefined) yield last;
      last = { offset: start, length };
    }
  }
  if (last !== undefined) yield last;
}

function sumOf(ranges: Iterable<Range>): { readonly count: number; readonly bytes: number } {
  let [count, bytes] = [0, 0];
  for (const { length } of ranges) [count, bytes] = [count + 1, bytes + length];
  return { count, bytes };
}

/** The share of the ranges that is in the page cache; undefined where nobody tells, and where there are none. */
function cachedShareOf(fd: number, ranges: Iterable<Range>, count: number): number | undefined {
  const step = Math.max(1, Math.ceil(count / MOST_LOOKS));
  let [at, cached, looked] = [0, 0, 0];
  for (const range of ranges) {
    at += 1;
    if (at % step !== 0) continue;
    const state = pageCacheState(fd, range);
    if (state === undefined) return undefined;
    // The kernel counts whole pages of its own.
    cached += Math.min(state.cachedBytes, range.length);
    looked += range.length;
  }
  return looked === 0 ? undefined : cached / looked;
}
