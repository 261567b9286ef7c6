import type { RandomAccessReader } from '../../../ts/stream/index.ts';

/** A stream in which one body of four bytes is read as one of `length` bytes. */
export class SparseReader implements RandomAccessReader {
  readonly name = 'sparse';
  readonly size: number;
  largest = 0;
  readonly #bytes: Uint8Array;
  readonly #hole: number;
  readonly #more: number;

  constructor(bytes: Uint8Array, hole: number, length: number) {
    this.#bytes = bytes;
    this.#hole = hole;
    this.#more = length - 4;
    this.size = bytes.length + this.#more;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.largest = Math.max(this.largest, length);
    const behind = this.#hole + 4 + this.#more;
    return Uint8Array.from({ length }, (_, index) => {
      const at = offset + index;
      if (at < this.#hole) return this.#bytes[at] ?? 0;
      return at < behind ? 0 : (this.#bytes[at - this.#more] ?? 0);
    });
  }
}
