import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ioError, readAt, sync, writeAt } from '../../io/fd-io.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';
import type { BenchFiles } from '../contender.ts';

const PAGE = 4096;
const PIECE = 1 << 20;
const ZEROS: Buffer = Buffer.alloc(PAGE);

/** A stretch of a file that holds as many bytes of data as the guest's memory does. */
export interface DataStretch {
  readonly path: string;
  /** Bytes from the file's start; a multiple of 1 MiB. */
  readonly offset: number;
  readonly length: number;
}

/**
 * Finds what a program reads that knows nothing of the format. Of memory without zero pages that is the snapshot
 * itself, from its first page on. Otherwise the snapshot has holes, which cost a reader nothing: the program gets a file
 * with the same data without them. The file lies beside the snapshot until the folder goes.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; the signal's reason
 */
export async function dataStretch(files: BenchFiles, signal: AbortSignal): Promise<DataStretch> {
  const { dataBytes: length } = files;
  if (length === files.size) return { path: files.snapshot, offset: await firstPage(files, signal), length };
  const path = join(files.directory, 'data');
  await makeDense(files.memory, path, signal);
  return { path, offset: 0, length };
}

async function firstPage({ snapshot: path, block }: BenchFiles, signal: AbortSignal): Promise<number> {
  await using snapshot = await Snapshot.open(path, signal);
  const { blocks } = snapshot.completeRam();
  return blocks.find(({ id }) => id === block)?.area.pagesOffset ?? 0;
}

/** Copies the pages that are not zero, one after the other. A file that is there already is such a copy. */
async function makeDense(memory: string, path: string, signal: AbortSignal): Promise<void> {
  const target = await open(path, 'wx').catch((cause: unknown) => {
    if (Object(cause).code === 'EEXIST') return undefined;
    throw ioError('cannot write the data', path, cause);
  });
  if (target === undefined) return;
  try {
    await using source = await open(memory);
    const piece = Buffer.allocUnsafe(PIECE);
    let end = 0;
    for (let offset = 0, got = PIECE; got === PIECE; offset += got) {
      signal.throwIfAborted();
      got = await readAt(source.fd, memory, piece, offset);
      let kept = 0;
      for (let at = 0; at < got; at += PAGE) {
        if (piece.compare(ZEROS, 0, PAGE, at, at + PAGE) === 0) continue;
        piece.copy(piece, kept, at, at + PAGE);
        kept += PAGE;
      }
      await writeAt(target.fd, path, piece.subarray(0, kept), end);
      end += kept;
    }
    await sync(target.fd, path);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await target.close();
  }
}
