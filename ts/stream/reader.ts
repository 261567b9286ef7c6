import { MappedRamError } from '../errors.ts';

/** The kind of a source: a stream comes once, out of a pipe for example. */
export type SourceKind = 'file' | 'stream';

/**
 * The stream code's view of a file: bytes at offsets. Nothing in `ts/stream` opens, maps or caches a file itself, so it
 * runs wherever somebody implements this interface (a browser's Blob too).
 */
export interface RandomAccessReader {
  /** The source's name in errors: a path or URI. */
  readonly name: string;
  /** The kind of source. @default 'file' */
  readonly kind?: SourceKind;
  /**
   * Size in bytes, fixed while the reader is in use. The size of a `SequentialReader` is 2^53-1 until its end is
   * reached.
   */
  readonly size: number;
  /**
   * Reads exactly `length` bytes at `offset`.
   * @throws {MappedRamError} ERR_MAPPED_RAM_TRUNCATED when the source ends before `offset + length`
   */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A stretch of a source, in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Makes a reader over bytes in memory. The bytes are not copied: leave them alone while it is in use. */
export function bytesReader(bytes: Uint8Array, name = 'bytes'): RandomAccessReader {
  return {
    name,
    size: bytes.length,
    read: async (offset: number, length: number): Promise<Uint8Array> => {
      if (offset + length > bytes.length) throw truncated(name, offset, length, bytes.length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** The error for bytes that a source of `size` bytes does not have. */
export function truncated(
  name: string,
  offset: number,
  length: number,
  size: number,
  kind: SourceKind = 'file',
): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_TRUNCATED', `the ${kind} ends too early`, {
    path: name,
    offset,
    expected: bytesInWords(length),
    found: bytesInWords(Math.max(0, size - offset)),
  });
}

function bytesInWords(count: number): string {
  return count === 1 ? '1 byte' : `${count} bytes`;
}
