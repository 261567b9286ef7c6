import { RAM_FLAG } from '../constants.ts';
import { encodePageHeader, encodeZeroPage } from './encode-pages.ts';

/** The most bytes that a record has beside a page: its word and a block's id. */
const MAX_HEAD = 8 + 1 + 255;

/**
 * Writes page records of a plain stream (docs/format.md §3) into a buffer that is given out whenever it is full. The
 * records are those of `encodePageHeader` and `encodeZeroPage`, for the pages of whole guests.
 */
export class PlainPageEncoder {
  readonly #pageSize: number;
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  #length = 0;
  #block: string | undefined;
  #isNamed = false;

  /** @param capacity of the buffer in bytes */
  constructor(pageSize: number, capacity: number) {
    this.#pageSize = pageSize;
    this.#buffer = new Uint8Array(capacity);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Tells whether another record is sure to find room. */
  get hasRoom(): boolean {
    return this.#length + MAX_HEAD + this.#pageSize <= this.#buffer.length;
  }

  /** The records since the last time. They are overwritten by the next ones. */
  take(): Uint8Array {
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  /** Starts the records of a block. */
  startBlock(id: string): void {
    this.#block = id;
    this.#isNamed = false;
  }

  /** Writes a record with a page's bytes. */
  page(offset: number, bytes: Uint8Array): void {
    this.#head(offset, RAM_FLAG.page);
    this.#buffer.set(bytes, this.#length);
    this.#length += this.#pageSize;
  }

  zeroPage(offset: number): void {
    this.#head(offset, RAM_FLAG.zero);
    this.#buffer[this.#length] = 0;
    this.#length += 1;
  }

  #head(offset: number, flag: number): void {
    if (this.#isNamed) {
      this.#view.setUint32(this.#length, Math.floor(offset / 2 ** 32));
      this.#view.setUint32(this.#length + 4, (offset % 2 ** 32) + flag + RAM_FLAG.continue);
      this.#length += 8;
      return;
    }
    const record = { targetPageSize: this.#pageSize, sameBlock: false };
    const head =
      flag === RAM_FLAG.page
        ? encodePageHeader(this.#block ?? '', offset, record)
        : encodeZeroPage(this.#block ?? '', offset, record).subarray(0, -1);
    this.#buffer.set(head, this.#length);
    this.#length += head.length;
    this.#isNamed = true;
  }
}
