import { truncated, type RandomAccessReader } from '../ts/stream/reader.ts';
import { readInput, type SparseInput } from './sparse-input.ts';

/** What one execution may cost. */
export interface Limits {
  /** Bytes asked for in one read. */
  readonly bytesAtOnce: number;
  /** Bytes read in all. */
  readonly bytesInAll: number;
  /** Calls of read. */
  readonly reads: number;
}

/** A reader over an input that notes, and answers with an error of its own, what no reader of streams may ask. */
export class WatchedReader implements RandomAccessReader {
  readonly name = 'input';
  readonly size: number;
  /** The first thing asked that was against the rules; also when the asking code swallowed the error. */
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

  /** What was asked so far; grows with the time that an execution takes, and is the same every time. */
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

/** Over an input that is trusted. */
export function inputReader(input: SparseInput): RandomAccessReader {
  return new WatchedReader(input, { bytesAtOnce: Infinity, bytesInAll: Infinity, reads: Infinity });
}
