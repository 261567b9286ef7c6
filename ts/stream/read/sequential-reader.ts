import { MappedRamError } from '../../errors.ts';
import type { RandomAccessReader, SourceKind } from '../reader.ts';

/** The size in bytes up to which chunks are gathered: a pipe gives 64 KiB at a time. */
const GATHER = 1 << 20;

/**
 * A source that is read front to back, as a pipe is, behind the interface of one that is read at offsets. It keeps the
 * bytes that were not released; reading before them is an error. The source's size shows at its end only: until then
 * `size` is 2^53-1, and a read that reaches over the end gives the bytes that there are.
 */
export class SequentialReader implements RandomAccessReader, AsyncDisposable {
  readonly name: string;
  readonly kind: SourceKind;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #window: Uint8Array = new Uint8Array();
  #windowOffset: number;
  #kept: number;
  #size: number | undefined;

  /**
   * @param kind the kind of source that the chunks come from
   * @param offset of the first chunk, in bytes
   */
  constructor(name: string, chunks: AsyncIterable<Uint8Array>, kind: SourceKind = 'stream', offset = 0) {
    this.name = name;
    this.kind = kind;
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#windowOffset = offset;
    this.#kept = offset;
  }

  get size(): number {
    return this.#size ?? Number.MAX_SAFE_INTEGER;
  }

  /** Reads bytes, which stay as they are, whatever is read or released later. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#kept) {
      throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'what was released is read again', {
        path: this.name,
        offset,
      });
    }
    if (offset + length > this.#windowOffset + this.#window.length) await this.#fill(offset + length);
    const start = offset - this.#windowOffset;
    return this.#window.subarray(start, start + length);
  }

  /** Drops the bytes before `offset`. */
  release(offset: number): void {
    if (offset > this.#kept) this.#kept = offset;
  }

  /** Lets the source go, early or at its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.();
  }

  /** Reads on until the window reaches `end`, or the source is at its own. */
  async #fill(end: number): Promise<void> {
    const parts: Uint8Array[] = [];
    let position = this.#windowOffset + this.#window.length;
    const old = this.#window.subarray(Math.min(this.#kept - this.#windowOffset, this.#window.length));
    if (old.length > 0) parts.push(old);
    let gathered = 0;
    while (this.#size === undefined && (position < end || gathered < GATHER)) {
      const next = await this.#chunks.next();
      if (next.done === true) {
        this.#size = position;
        break;
      }
      position += next.value.length;
      // Bytes to be skipped are not kept: they can be many.
      const part = next.value.subarray(Math.max(0, next.value.length - Math.max(0, position - this.#kept)));
      if (part.length > 0) parts.push(part);
      gathered += part.length;
    }
    const [only = new Uint8Array(), ...more] = parts;
    this.#window = more.length === 0 ? only : concatenated(parts);
    this.#windowOffset = position - this.#window.length;
  }
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
