import { deflateRawSync, inflateRawSync } from 'node:zlib';

import type { Stretch } from '../host/touched-pages.ts';
import { pagesIn, type PageArea } from '../stream/page-area.ts';
import { runsOfBits, setBit } from '../pages/bits.ts';

/** Pages of a block: one bit each. */
export class PageSet {
  readonly #area: PageArea;
  readonly #bits: Uint8Array;

  private constructor(area: PageArea, bits: Uint8Array) {
    this.#area = area;
    this.#bits = bits;
  }

  static none(area: PageArea): PageSet {
    return new PageSet(area, new Uint8Array(Math.ceil(pagesIn(area) / 8)));
  }

  /**
   * Reads a set that `toText` wrote.
   * @throws {RangeError} when the text is no set of pages of this block
   */
  static fromText(area: PageArea, text: string): PageSet {
    const size = Math.ceil(pagesIn(area) / 8);
    const packed = Buffer.from(text, 'base64');
    // The limit keeps a few bytes from becoming gigabytes.
    const bits = inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) });
    if (bits.length !== size) throw new RangeError(`expected ${size} bytes of bits, found ${bits.length}`);
    return new PageSet(area, bits);
  }

  /** The length of the block in bytes. */
  get length(): number {
    return this.#area.length;
  }

  /** The pages as a bitmap: bit i of byte i / 8 is page i. */
  get bitmap(): Uint8Array {
    return this.#bits;
  }

  toText(): string {
    return deflateRawSync(this.#bits).toString('base64');
  }

  /** Adds every page that a stretch of the block touches. */
  add({ offset, length }: Stretch): void {
    const { pageSize } = this.#area;
    const end = Math.min(Math.ceil((offset + length) / pageSize), pagesIn(this.#area));
    for (let page = Math.floor(offset / pageSize); page < end; page += 1) setBit(this.#bits, page);
  }

  /** The stretches of pages in the set, in bytes from the block's beginning, in order. */
  *stretches(): Generator<Stretch, void, void> {
    const { pageSize } = this.#area;
    for (const { start, end } of runsOfBits(this.#bits, pagesIn(this.#area))) {
      yield { offset: start * pageSize, length: (end - start) * pageSize };
    }
  }
}
