import { MappedRamError } from '../../errors.ts';
import { ByteWriter } from '../write/byte-writer.ts';

/**
 * The most bytes that a stream may have beside its pages: they are kept in memory. QEMU's device state is a few hundred
 * KiB; video memory and firmware are RAM blocks.
 */
export const MAX_STATE_BYTES: number = 64 * 1024 * 1024;

/** Stretches of a source that are kept, one after the other, with their places in the source. */
export class KeptBytes {
  readonly #name: string;
  readonly #bytes: ByteWriter = new ByteWriter();
  /** The start of each stretch in the kept bytes, and its offset in the source. */
  readonly #stretches: { readonly start: number; readonly offset: number }[] = [];

  /** @param name the source's name in errors */
  constructor(name: string) {
    this.#name = name;
  }

  /**
   * Keeps a stretch.
   * @param offset of the bytes in the source
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when it is more than `MAX_STATE_BYTES` in all
   */
  add(bytes: Uint8Array, offset: number): void {
    const start = this.#bytes.length;
    if (start + bytes.length > MAX_STATE_BYTES) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_UNSUPPORTED',
        'the stream has too much beside its pages: it is kept in memory',
        { path: this.#name, expected: `at most ${MAX_STATE_BYTES} bytes`, found: 'more' },
      );
    }
    if (this.#stretches.length === 0 || this.sourceOffset(start) !== offset)
      this.#stretches.push({ start, offset });
    this.#bytes.bytes(bytes);
  }

  finish(): Uint8Array {
    return this.#bytes.finish();
  }

  /** Finds the source's offset of the byte at `position` of the kept bytes. */
  sourceOffset(position: number): number {
    const { start, offset } = this.#stretches.findLast((stretch) => stretch.start <= position) ?? {
      start: 0,
      offset: 0,
    };
    return offset + position - start;
  }
}
