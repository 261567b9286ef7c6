import { MAX_VMDESCRIPTION_BYTES, RECORD } from '../constants.ts';
import type { RandomAccessReader } from '../reader.ts';
import { CURSOR_WINDOW } from '../read/stream-cursor.ts';
import { parseVmdescription, type Vmdescription } from './vmdescription.ts';

export interface FoundVmdescription {
  /** Offset of the record's type byte. */
  readonly offset: number;
  readonly jsonOffset: number;
  readonly jsonLength: number;
  readonly json: Vmdescription;
}

/** Bytes of a vmdescription's head: type byte, be32 length, and the brace that JSON starts with. */
const HEAD = 6;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

/** The most bytes of a search that the end of the file does not bound. */
const MAX_SCAN = 64 * 1024 * 1024;

/** The most candidates that are tried: a hostile file can hold any number of things that look like a vmdescription. */
const MAX_CANDIDATES = 16;

/**
 * Finds the vmdescription without walking to it (docs/format.md §1.5): the last one that fits in `from..size`. JSON has
 * no 0x06 byte, so nothing inside it is mistaken for one. Its length may not exceed 16 MiB.
 * @param options.forward true to search on from `from` when the tail has none (many bytes behind the stream). The
 *   caller asks for that only where no guest memory follows, which could hold anything.
 */
export async function findVmdescription(
  reader: RandomAccessReader,
  from: number,
  options: { readonly forward: boolean },
): Promise<FoundVmdescription | undefined> {
  const search = new Search(reader, from);
  const tail = Math.max(from, reader.size - MAX_VMDESCRIPTION_BYTES - HEAD);
  for (let end = reader.size; end > tail && !search.exhausted; end -= CURSOR_WINDOW) {
    const found = await search.last(Math.max(tail, end - CURSOR_WINDOW), end);
    if (found !== undefined) return found;
  }
  if (!options.forward || tail === from) return undefined;
  const limit = Math.min(tail, from + MAX_SCAN);
  for (let start = from; start < limit && !search.exhausted; start += CURSOR_WINDOW) {
    const found = await search.last(start, Math.min(limit, start + CURSOR_WINDOW));
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Finds the first vmdescription behind `from`, within 64 MiB: the one of this stream, where other things follow it. No
 * guest memory may lie between. The size of the source need not be known.
 */
export async function findNextVmdescription(
  reader: RandomAccessReader,
  from: number,
): Promise<FoundVmdescription | undefined> {
  const search = new Search(reader, from);
  const limit = from + MAX_SCAN;
  for (let start = from; start < limit && start < reader.size && !search.exhausted; start += CURSOR_WINDOW) {
    const found = await search.first(start, Math.min(limit, start + CURSOR_WINDOW));
    if (found !== undefined) return found;
  }
  return undefined;
}

class Search {
  readonly #reader: RandomAccessReader;
  readonly #from: number;
  #candidates = 0;

  constructor(reader: RandomAccessReader, from: number) {
    this.#reader = reader;
    this.#from = from;
  }

  get exhausted(): boolean {
    return this.#candidates >= MAX_CANDIDATES;
  }

  /** The last vmdescription whose type byte lies in `start..end`. */
  async last(start: number, end: number): Promise<FoundVmdescription | undefined> {
    // The read begins one byte early for EOF, and takes a head that reaches over the end.
    const low = Math.max(this.#from, start - 1);
    const high = Math.min(this.#reader.size, end + HEAD - 1);
    const bytes = await this.#reader.read(low, high - low);
    let index = bytes.lastIndexOf(RECORD.vmdescription, end - 1 - low);
    while (index >= start - low && !this.exhausted) {
      const found = await this.#check(bytes, index, low + index);
      if (found !== undefined) return found;
      if (index === 0) return undefined;
      index = bytes.lastIndexOf(RECORD.vmdescription, index - 1);
    }
    return undefined;
  }

  /** The first vmdescription whose type byte lies in `start..end`. */
  async first(start: number, end: number): Promise<FoundVmdescription | undefined> {
    const low = Math.max(this.#from, start - 1);
    const high = Math.min(this.#reader.size, end + HEAD - 1);
    const bytes = await this.#reader.read(low, high - low);
    let index = bytes.indexOf(RECORD.vmdescription, start - low);
    while (index !== -1 && index < end - low && !this.exhausted) {
      const found = await this.#check(bytes, index, low + index);
      if (found !== undefined) return found;
      index = bytes.indexOf(RECORD.vmdescription, index + 1);
    }
    return undefined;
  }

  async #check(bytes: Uint8Array, index: number, offset: number): Promise<FoundVmdescription | undefined> {
    if (index + HEAD > bytes.length || bytes[index + HEAD - 1] !== BRACE_OPEN) return undefined;
    if (index > 0 && bytes[index - 1] !== RECORD.eof) return undefined;
    const jsonLength = new DataView(bytes.buffer, bytes.byteOffset).getUint32(index + 1);
    const jsonOffset = offset + HEAD - 1;
    if (jsonLength > MAX_VMDESCRIPTION_BYTES || jsonOffset + jsonLength > this.#reader.size) return undefined;
    const last = await this.#reader.read(jsonOffset + jsonLength - 1, 1);
    // A source whose size is not known gives nothing behind its end.
    if (last[0] !== BRACE_CLOSE) return undefined;
    this.#candidates += 1;
    const json = parseVmdescription(await this.#reader.read(jsonOffset, jsonLength));
    return json === undefined ? undefined : { offset, jsonOffset, jsonLength, json };
  }
}
