import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MappedRamError } from '../errors.ts';
import {
  walkStream,
  type PlainRamBlock,
  type RamPageRecord,
  type RandomAccessReader,
} from '../stream/index.ts';
import { StagedFile } from '../transfer/staged-file.ts';
import { ioError, writeAt } from './fd-io.ts';

/** Where a block's pages lie in the spool. */
interface Place {
  readonly start: number;
  readonly length: number;
  /** One bit a page: it has a record. */
  readonly seen: Uint8Array;
  records: number;
}

/**
 * Pages that come as records of a plain stream, put at their places in a temporary file, so that the engine can read
 * them like any other memory. Later records win. Disposal removes the file.
 */
export class PageSpool implements AsyncDisposable {
  readonly #staged: StagedFile;
  readonly #handle: FileHandle;
  readonly #places: Map<string, Place>;

  private constructor(staged: StagedFile, handle: FileHandle, places: Map<string, Place>) {
    this.#staged = staged;
    this.#handle = handle;
    this.#places = places;
  }

  /**
   * Collects the pages of `blocks`.
   * @param beside the temporary file is made next to this path; undefined for the system's temporary directory
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when a page belongs to another block (its RAM was given
   * elsewhere), ERR_MAPPED_RAM_UNSUPPORTED for xbzrle records, ERR_MAPPED_RAM_IO
   */
  static async collect(
    reader: RandomAccessReader,
    offset: number,
    blocks: readonly PlainRamBlock[],
    pageSize: number,
    beside: string | undefined,
  ): Promise<PageSpool> {
    const places = new Map<string, Place>();
    let start = 0;
    for (const { id, length } of blocks) {
      places.set(id, { start, length, seen: new Uint8Array(Math.ceil(length / pageSize / 8)), records: 0 });
      start += length;
    }
    const staged = await StagedFile.create(beside ?? join(tmpdir(), 'mapped-ram-pages'), { overwrite: true });
    let handle: FileHandle | undefined;
    try {
      handle = await open(staged.path, 'r+');
      await handle.truncate(start);
      const spool = new PageSpool(staged, handle, places);
      for await (const record of walkStream(reader, { offset })) {
        if (record.type === 'ram-page') await spool.#add(reader, record, pageSize);
      }
      return spool;
    } catch (error) {
      await handle?.close();
      staged.discard();
      throw error instanceof MappedRamError ? error : ioError('cannot spool pages', staged.path, error);
    }
  }

  /** The spool's path, while it is not disposed of. */
  get path(): string {
    return this.#staged.path;
  }

  /** Where a block starts in the spool; undefined when the stream has no page of it. */
  startOf(block: string): number | undefined {
    const place = this.#places.get(block);
    return place === undefined || place.records === 0 ? undefined : place.start;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    this.#staged.discard();
  }

  async #add(reader: RandomAccessReader, record: RamPageRecord, pageSize: number): Promise<void> {
    const { block, blockOffset, kind } = record;
    const place = this.#places.get(block);
    if (place === undefined) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        `the state holds pages of block ${block}, whose RAM was given too`,
        {
          path: reader.name,
          offset: record.offset,
        },
      );
    }
    place.records += 1;
    const page = blockOffset / pageSize;
    const wasSeen = hasBit(place.seen, page);
    if (kind === 'xbzrle') {
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'the state holds xbzrle pages', {
        path: reader.name,
        offset: record.offset,
        expected: 'a stream saved without the capability xbzrle',
      });
    }
    if (kind === 'zero' && !wasSeen) return;
    const bytes =
      kind === 'zero' ? new Uint8Array(pageSize) : await reader.read(record.dataOffset, record.dataLength);
    setBit(place.seen, page);
    await writeAt(this.#handle.fd, this.path, bytes, place.start + blockOffset);
  }
}

function hasBit(bits: Uint8Array, index: number): boolean {
  return (((bits[index >>> 3] ?? 0) >>> (index & 7)) & 1) === 1;
}

function setBit(bits: Uint8Array, index: number): void {
  bits[index >>> 3] = (bits[index >>> 3] ?? 0) | (1 << (index & 7));
}
