import { truncated, type RandomAccessReader } from '../ts/stream/reader.ts';
import { readInput, type SparseInput } from './sparse-input.ts';

/** The limits of one execution. */
export interface Limits {
  /** Bytes in one read. */
  readonly bytesAtOnce: number;
  /** Bytes in all reads together. */
  readonly bytesInAll: number;
  /** Number of reads. */
  readonly reads: number;
}

/** A reader over an input. It records a request that no reader of streams may make, and answers it with an error. */
export class WatchedReader implements RandomAccessReader {
  readonly name = 'input';
  readonly size: number;
  /** The first request that was against the rules; also when the asking code swallowed the error. */
  violation: Error | undefined;
  readonly #input: SparseInput;
  readonly #limits: Limits;
  #bytes = 0;
  #reads = 0;

  constructor(input: SparseInput, limits: Limits) {
    this.size = input.size;
    this.#input = input;
    this.#limits = limits;
  }

  /** The cost of all requests so far. It grows with the time that an execution takes, and is the same every time. */
  get cost(): number {
    return this.#bytes + this.#reads * 1024;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
      throw this.#refuse(`read(${offset}, ${length})`);
    this.#reads += 1;
    this.#bytes += length;
    const { bytesAtOnce, bytesInAll, reads } = this.#limits;
    if (length > bytesAtOnce) throw this.#refuse(`read ${length} bytes at once`);
    if (this.#bytes > bytesInAll) throw this.#refuse(`read more than ${bytesInAll} bytes in all`);
    if (this.#reads > reads) throw this.#refuse(`read more than ${reads} times`);
    if (offset + length > this.size) throw truncated(this.name, offset, length, this.size);
    return readInput(this.#input, offset, length);
  }

  #refuse(message: string): Error {
    const error = new Error(message);
    this.violation ??= error;
    return error;
  }
}

/** Makes a reader over a trusted input. */
export function inputReader(input: SparseInput): RandomAccessReader {
  return new WatchedReader(input, { bytesAtOnce: Infinity, bytesInAll: Infinity, reads: Infinity });
}
