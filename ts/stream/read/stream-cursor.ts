import { MappedRamError } from '../../errors.ts';
import { truncated, type RandomAccessReader } from '../reader.ts';
import { decodeName } from '../text.ts';

/** Bytes that a cursor reads at once: also the most that it ever asks of its reader. */
export const CURSOR_WINDOW: number = 64 * 1024;

/**
 * Reads a stream front to back through one small window: its memory does not grow with the guest.
 *
 * `need(n)` brings `n` bytes into the window; the plain readers after it are synchronous and take only bytes that are
 * there. `has(n)` lets a hot loop do without awaiting.
 */
export class StreamCursor {
  readonly reader: RandomAccessReader;
  #position: number;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #windowOffset = 0;

  /**
   * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE when `offset` is not a safe non-negative integer;
   * ERR_MAPPED_RAM_TRUNCATED when it lies beyond the end
   */
  constructor(reader: RandomAccessReader, offset: number) {
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'offset of the stream', {
        path: reader.name,
        expected: '0 to 2^53-1',
        found: offset,
      });
    }
    if (offset > reader.size) {
      const { name, size, kind = 'file' } = reader;
      throw new MappedRamError(
        'ERR_MAPPED_RAM_TRUNCATED',
        `the stream starts behind the end of the ${kind}`,
        {
          path: name,
          offset,
          expected: `an offset of at most ${size}`,
        },
      );
    }
    this.reader = reader;
    this.#position = offset;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.reader.size - this.#position;
  }

  has(length: number): boolean {
    const start = this.#position - this.#windowOffset;
    return start >= 0 && start + length <= this.#view.byteLength;
  }

  /**
   * Brings `length` bytes into the window.
   * @param length at most CURSOR_WINDOW
   */
  async need(length: number): Promise<void> {
    if (this.has(length)) return;
    if (length > this.remaining) throw this.truncated(length);
    const want = Math.min(this.remaining, CURSOR_WINDOW);
    const bytes = await this.reader.read(this.#position, want);
    // A source whose size was not known when the cursor asked may end within the window.
    if (bytes.length < length || bytes.length !== Math.min(want, this.remaining))
      throw this.#ends(length, this.#position + bytes.length);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#windowOffset = this.#position;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT above 2^53-1 */
  u64(what: string): number {
    const high = this.u32();
    const low = this.u32();
    if (high > 0x1f_ffff) {
      const found = `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;
      throw this.corrupt(`${what} is too large`, {
        offset: this.#position - 8,
        expected: 'less than 2^53',
        found,
      });
    }
    return high * 0x1_0000_0000 + low;
  }

  /** A copy of the next bytes. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + start, length).slice();
  }

  /** Reads a byte of length, then that many bytes of text: most names are stored so. */
  async name(what: string): Promise<string> {
    await this.need(1);
    const offset = this.#position;
    const length = this.u8();
    if (length === 0) throw this.corrupt(`${what} is empty`, { offset });
    await this.need(length);
    return decodeName(this.bytes(length), what, this.reader.name, offset);
  }

  /** The byte at `distance` from here, which `need` or `has` vouched for. */
  peek(distance = 0): number {
    return this.#view.getUint8(this.#position - this.#windowOffset + distance);
  }

  skip(length: number): void {
    if (length > this.remaining) throw this.truncated(length);
    this.#position += length;
  }

  seek(offset: number): void {
    if (offset > this.reader.size) throw this.#ends(offset - this.#position, this.reader.size);
    this.#position = offset;
  }

  truncated(length: number): MappedRamError {
    return this.#ends(length, this.reader.size);
  }

  corrupt(
    message: string,
    context: {
      readonly offset?: number;
      readonly sectionOffset?: number;
      readonly expected?: string | number;
      readonly found?: string | number;
    } = {},
  ): MappedRamError {
    const offset = context.offset ?? this.#position;
    return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', message, {
      ...context,
      path: this.reader.name,
      offset,
    });
  }

  #ends(length: number, size: number): MappedRamError {
    const { name, kind } = this.reader;
    return truncated(name, this.#position, length, size, kind);
  }

  #take(length: number): number {
    const start = this.#position - this.#windowOffset;
    this.#position += length;
    return start;
  }
}
