import { open } from 'node:fs/promises';

import { ioError, readAt } from '../io/fd-io.ts';

const PIECE = 4 * 1024 * 1024;

/**
 * Returns the offset of the first byte that differs in two files of `length` bytes; undefined when there is none. A
 * file that ends early differs at its end.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; the signal's reason
 */
export async function compareFiles(
  leftPath: string,
  rightPath: string,
  length: number,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const failed = (cause: unknown): never => {
    throw ioError('cannot compare', leftPath, cause);
  };
  await using left = await open(leftPath).catch(failed);
  await using right = await open(rightPath).catch(failed);
  const [a, b] = [Buffer.allocUnsafe(PIECE), Buffer.allocUnsafe(PIECE)];
  for (let offset = 0; offset < length; offset += PIECE) {
    signal?.throwIfAborted();
    const wanted = Math.min(PIECE, length - offset);
    const [got, other] = await Promise.all([
      readAt(left.fd, leftPath, a.subarray(0, wanted), offset),
      readAt(right.fd, rightPath, b.subarray(0, wanted), offset),
    ]);
    const common = Math.min(got, other);
    if (a.compare(b, 0, common, 0, common) !== 0) return offset + firstDifference(a, b);
    if (common < wanted) return offset + common;
  }
  return undefined;
}

function firstDifference(a: Buffer, b: Buffer): number {
  return a.findIndex((byte, index) => byte !== b[index]);
}
