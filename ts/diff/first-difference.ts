import type { ByteRange, RandomAccessReader } from '../stream/reader.ts';

const PIECE = 1 << 20;

/**
 * Where two ranges begin to differ, in bytes from their starts; undefined when they are equal. A range that is the other
 * one's beginning differs where it ends. Memory does not grow with the ranges.
 * @throws what the readers throw
 */
export async function firstDifference(
  left: RandomAccessReader,
  leftRange: ByteRange,
  right: RandomAccessReader,
  rightRange: ByteRange,
): Promise<number | undefined> {
  const length = Math.min(leftRange.length, rightRange.length);
  for (let done = 0; done < length; done += PIECE) {
    const size = Math.min(PIECE, length - done);
    const [a, b] = [
      await left.read(leftRange.offset + done, size),
      await right.read(rightRange.offset + done, size),
    ];
    if (Buffer.compare(a, b) !== 0) return done + a.findIndex((byte, at) => byte !== b[at]);
  }
  return leftRange.length === rightRange.length ? undefined : length;
}
