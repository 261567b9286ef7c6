import { MappedRamError } from '../../errors.ts';

/** Builds a small piece of a stream, big-endian throughout (docs/format.md, introduction). */
export class ByteWriter {
  #bytes: Uint8Array = new Uint8Array(256);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const offset = this.#room(1, value, 0xff);
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(value: number): this {
    const offset = this.#room(2, value, 0xffff);
    this.#view.setUint16(offset, value);
    return this;
  }

  u32(value: number): this {
    const offset = this.#room(4, value, 0xffff_ffff);
    this.#view.setUint32(offset, value);
    return this;
  }

  u64(value: number): this {
    const offset = this.#room(8, value, Number.MAX_SAFE_INTEGER);
    this.#view.setBigUint64(offset, BigInt(value));
    return this;
  }

  bytes(value: Uint8Array): this {
    // Reserving may replace the buffer.
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  /** A copy of everything written so far. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(length: number, value: number, max: number): number {
    if (!Number.isSafeInteger(value) || value < 0 || value > max) {
      throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'number does not fit its field', {
        expected: `0 to ${max}`,
        found: value,
      });
    }
    return this.#reserve(length);
  }

  #reserve(length: number): number {
    const offset = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return offset;
  }
}
