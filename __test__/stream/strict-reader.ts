import type { RandomAccessReader } from '../../ts/stream/index.ts';

/** A reader that fails the test, not the walk, when it is asked for bytes that the source does not have. */
export class StrictReader implements RandomAccessReader {
  readonly name = 'strict';
  readonly size: number;
  /** The most bytes that one read asked for. */
  largest = 0;
  /** The bytes that all reads asked for. */
  total = 0;
  readonly #bytes: Uint8Array;

  /** @param size the size in bytes; zeros follow the given bytes up to it */
  constructor(bytes: Uint8Array, size: number = bytes.length) {
    this.#bytes = bytes;
    this.size = size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
      throw new RangeError(`read(${offset}, ${length})`);
    }
    if (offset + length > this.size) throw new RangeError(`read(${offset}, ${length}) of ${this.size} bytes`);
    this.largest = Math.max(this.largest, length);
    this.total += length;
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes.subarray(offset, offset + length));
    return bytes;
  }
}

export async function collect<T>(records: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const record of records) all.push(record);
  return all;
}
