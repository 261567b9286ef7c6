import { inflateSync } from 'node:zlib';

import { MappedRamError } from '../errors.ts';
import { zeroRanges } from '../engine/zero-ranges.ts';
import { PageBits } from './page-bits.ts';
import type { RandomAccessReader } from '../stream/reader.ts';
import type { RamPageRecord } from '../stream/records.ts';
import { applyXbzrle } from '../stream/xbzrle.ts';
import { readAt, writeAt } from '../io/fd-io.ts';
import { zeroTest } from './page-bits.ts';

/** The most bytes of adjacent pages that are written together. */
const PENDING = 1 << 20;

/** The place of a block's pages. */
export interface PagePlace {
  /** Offset of the block's first page in the file, in bytes. */
  readonly start: number;
  /** True when zero pages count as pages that hold something. @default false */
  readonly storeZeroPages?: boolean;
}

/** The result of a block's records. */
interface PlacedBlock extends PagePlace {
  /** The pages that the file is to hold: those with a record that are not zero, or all with a record. */
  readonly pages: PageBits;
  /** The number of the block's records. */
  records: number;
}

interface Block extends PlacedBlock {
  /** Pages that are zero now, where the file still holds their earlier bytes. */
  readonly stale: PageBits;
}

/**
 * Applies the page records of a plain stream (docs/format.md §3), in their order, to a file in which every page has its
 * place. Later records win; a page that is all zero is none; `finish` makes holes of pages that became zero. The file
 * has its size already, and reads as zeros.
 */
export class PlainPages {
  readonly #fd: number;
  readonly #path: string;
  readonly #pageSize: number;
  readonly #blocks: Map<string, Block>;
  readonly #isZero: (page: Uint8Array) => boolean;
  readonly #pending: Buffer = Buffer.allocUnsafe(PENDING);
  #pendingOffset = 0;
  #pendingLength = 0;
  #dataBytes = 0;

  /**
   * @param fd open for reading and writing
   * @param path the file's name in errors
   */
  constructor(fd: number, path: string, pageSize: number, places: ReadonlyMap<string, PagePlace>) {
    this.#fd = fd;
    this.#path = path;
    this.#pageSize = pageSize;
    this.#isZero = zeroTest(pageSize);
    this.#blocks = new Map(
      [...places].map(([id, place]) => [
        id,
        { ...place, records: 0, pages: new PageBits(), stale: new PageBits() },
      ]),
    );
  }

  /** The result of a block's records; undefined for a block that has no place. */
  block(id: string): PlacedBlock | undefined {
    return this.#blocks.get(id);
  }

  /** Bytes of pages that were put in the file. A page that came again is counted again. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  /**
   * Applies records.
   * @param batch records that follow each other in `reader`
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a page of a block without a place,
   *   ERR_MAPPED_RAM_CORRUPT for a delta or zlib data that does not give a page, ERR_MAPPED_RAM_IO
   */
  async apply(reader: RandomAccessReader, batch: readonly RamPageRecord[]): Promise<void> {
    const [first] = batch;
    const last = batch.at(-1);
    if (first === undefined || last === undefined) return;
    const span = await reader.read(first.offset, last.offset + last.length - first.offset);
    for (const record of batch) {
      const block = this.#blockOf(record, reader.name);
      block.records += 1;
      const start = record.dataOffset - first.offset;
      const data = span.subarray(start, start + record.dataLength);
      let bytes: Uint8Array | undefined;
      if (record.kind === 'page') bytes = data;
      else if (record.kind === 'compressed') bytes = this.#inflated(record, data, reader.name);
      else if (record.kind === 'xbzrle') bytes = await this.#patched(block, record, data, reader.name);
      const page = record.blockOffset / this.#pageSize;
      if (bytes === undefined || this.#isZero(bytes)) {
        zeroPage(block, page);
        continue;
      }
      block.pages.set(page);
      block.stale.clear(page);
      const offset = block.start + record.blockOffset;
      if (!this.#fits(offset)) await this.#flush(offset);
      this.#put(bytes, offset);
    }
  }

  /** Writes the pending pages, and makes the file read as zeros where pages became zero. */
  async finish(): Promise<void> {
    await this.#flush(0);
    const ranges: number[] = [];
    for (const { start, stale } of this.#blocks.values()) {
      for (const { page, length } of stale.runs()) {
        ranges.push(start + page * this.#pageSize, length * this.#pageSize);
      }
    }
    if (ranges.length === 0) return;
    await zeroRanges(this.#fd, this.#path, ranges);
  }

  #blockOf({ block: id, offset }: RamPageRecord, path: string): Block {
    const block = this.#blocks.get(id);
    if (block !== undefined) return block;
    const message = `the stream holds pages of block ${id}, whose RAM was given too`;
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', message, { path, offset });
  }

  #inflated({ dataOffset: offset }: RamPageRecord, data: Uint8Array, path: string): Uint8Array {
    const expected = `zlib data of ${this.#pageSize} bytes`;
    let bytes: Uint8Array;
    try {
      bytes = inflateSync(data, { maxOutputLength: this.#pageSize });
    } catch (cause) {
      throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'a compressed page', {
        path,
        offset,
        expected,
        cause,
      });
    }
    if (bytes.length === this.#pageSize) return bytes;
    const found = `${bytes.length} bytes`;
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'a compressed page', {
      path,
      offset,
      expected,
      found,
    });
  }

  async #patched(
    block: Block,
    { blockOffset, dataOffset }: RamPageRecord,
    delta: Uint8Array,
    path: string,
  ): Promise<Uint8Array> {
    const page = await this.#current(block, blockOffset);
    if (applyXbzrle(delta, page)) return page;
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'an xbzrle page', {
      path,
      offset: dataOffset,
      expected: 'runs to skip and bytes to put in that stay inside the page',
    });
  }

  /** Copies the bytes that a page holds now. */
  async #current(block: Block, blockOffset: number): Promise<Uint8Array> {
    const bytes = Buffer.alloc(this.#pageSize);
    const page = blockOffset / this.#pageSize;
    if (!block.pages.has(page) || block.stale.has(page)) return bytes;
    const offset = block.start + blockOffset;
    const inPending = offset - this.#pendingOffset;
    if (inPending >= 0 && inPending < this.#pendingLength) {
      this.#pending.copy(bytes, 0, inPending, inPending + this.#pageSize);
    } else if ((await readAt(this.#fd, this.#path, bytes, offset)) < bytes.length) {
      throw new MappedRamError('ERR_MAPPED_RAM_IO', 'what was written is gone', { path: this.#path, offset });
    }
    return bytes;
  }

  /** Tells whether a page can be added to the pending ones, or replaces a part of them. */
  #fits(offset: number): boolean {
    const place = offset - this.#pendingOffset;
    return place >= 0 && place <= this.#pendingLength && place + this.#pageSize <= PENDING;
  }

  #put(bytes: Uint8Array, offset: number): void {
    const place = offset - this.#pendingOffset;
    this.#pending.set(bytes, place);
    this.#pendingLength = Math.max(this.#pendingLength, place + bytes.length);
    this.#dataBytes += bytes.length;
  }

  async #flush(next: number): Promise<void> {
    if (this.#pendingLength > 0) {
      await writeAt(
        this.#fd,
        this.#path,
        this.#pending.subarray(0, this.#pendingLength),
        this.#pendingOffset,
      );
    }
    this.#pendingOffset = next;
    this.#pendingLength = 0;
  }
}

function zeroPage(block: Block, page: number): void {
  if (block.storeZeroPages === true) {
    if (block.pages.has(page)) block.stale.set(page);
    block.pages.set(page);
  } else if (block.pages.has(page)) {
    block.pages.clear(page);
    block.stale.set(page);
  }
}
