import { MappedRamError } from '../errors.ts';
import { truncated } from '../stream/reader.ts';

/** Reads a seal's big-endian fields front to back; no field may lie outside of the seal. */
export class SealFields {
  readonly path: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array, path: string) {
    this.path = path;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  get left(): number {
    return this.#bytes.length - this.#position;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT above 2^53-1 */
  u64(what: string): number {
    const value = Number(this.#view.getBigUint64(this.#take(8)));
    if (!Number.isSafeInteger(value)) throw this.corrupt(what);
    return value;
  }

  powerOfTwo(what: string, min: number, max: number): number {
    const value = this.u32();
    if (value < min || value > max || !Number.isInteger(Math.log2(value))) throw this.corrupt(what);
    return value;
  }

  /** A view of the bytes, not a copy. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  truncated(length: number): MappedRamError {
    return truncated(this.path, this.#position, length, this.#bytes.length);
  }

  /** An error about the field that was read last. */
  corrupt(message: string): MappedRamError {
    return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `the seal: ${message}`, {
      path: this.path,
      offset: this.#position,
    });
  }

  #take(length: number): number {
    if (length > this.left) throw this.truncated(length);
    const start = this.#position;
    this.#position += length;
    return start;
  }
}
