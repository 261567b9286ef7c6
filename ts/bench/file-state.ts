import { open, rm } from 'node:fs/promises';

import { dropPageCache } from '../engine/page-cache.ts';
import { ioError, readAt, writeAt } from '../io/fd-io.ts';
import type { FileState } from './figures.ts';

const PAGE = 4096;
const PIECE = 1 << 20;
const ZEROS: Buffer = Buffer.alloc(PAGE);

/**
 * Puts a file into a state for a round that reads it. A dirty file has to be new each time: the state then belongs to
 * `copy`, which this writes through the page cache and does not wait for.
 *
 * @returns the path of the file in that state: `copy` for `dirty`, else `path`
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; the signal's reason
 */
export async function putInState(
  path: string,
  state: FileState,
  copy: string,
  signal: AbortSignal,
): Promise<string> {
  if (state === 'dirty') {
    // The pages of the copy before leave the cache with it, so that no write-back of theirs disturbs the round.
    await rm(copy, { force: true });
    await copyThroughCache(path, copy, signal);
    return copy;
  }
  if (state === 'cold') await dropPageCache(path);
  else await readThrough(path, () => Promise.resolve(), signal);
  return path;
}

/**
 * Copies a file through the page cache.
 * @param keepsZeros true to write pages of zeros; else they become holes
 */
export async function copyThroughCache(
  path: string,
  copy: string,
  signal: AbortSignal,
  keepsZeros = false,
): Promise<void> {
  await using target = await open(copy, 'wx').catch((cause: unknown) => {
    throw ioError('cannot make a copy', copy, cause);
  });
  let end = 0;
  await readThrough(
    path,
    async (bytes, offset) => {
      end = offset + bytes.length;
      for (const [from, to] of keepsZeros ? [[0, bytes.length] as const] : dataIn(bytes)) {
        await writeAt(target.fd, copy, bytes.subarray(from, to), offset + from);
      }
    },
    signal,
  );
  await target.truncate(end).catch((cause: unknown) => {
    throw ioError('cannot make a copy', copy, cause);
  });
}

async function readThrough(
  path: string,
  take: (bytes: Buffer, offset: number) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await using source = await open(path).catch((cause: unknown) => {
    throw ioError('cannot read the file', path, cause);
  });
  const piece = Buffer.allocUnsafe(PIECE);
  for (let offset = 0, got = PIECE; got === PIECE; offset += got) {
    signal.throwIfAborted();
    got = await readAt(source.fd, path, piece, offset);
    await take(piece.subarray(0, got), offset);
  }
}

/** The stretches of a piece that are not zero, by whole pages. */
function* dataIn(bytes: Buffer): Generator<readonly [from: number, to: number], void, void> {
  let from: number | undefined;
  for (let at = 0; at < bytes.length; at += PAGE) {
    const length = Math.min(PAGE, bytes.length - at);
    const isZero = bytes.compare(ZEROS, 0, length, at, at + length) === 0;
    if (!isZero) from ??= at;
    else if (from !== undefined) {
      yield [from, at];
      from = undefined;
    }
  }
  if (from !== undefined) yield [from, bytes.length];
}
