import { open, type FileHandle } from 'node:fs/promises';

import { walkBatches } from '../stream/read/walk.ts';
import type { RandomAccessReader } from '../stream/reader.ts';
import type { PlainRamBlock } from '../stream/stream-index.ts';
import type { RamPageRecord, StreamRecord } from '../stream/records.ts';
import { StagedFile } from '../engine/staged-file.ts';
import { resize } from '../io/fd-io.ts';
import { PlainPages, type PagePlace } from '../pages/plain-pages.ts';

/**
 * A temporary file that holds the page records of a plain stream at their places, so that the engine can read them like
 * any other memory. Disposal removes the file.
 */
export class PageSpool implements AsyncDisposable {
  readonly #staged: StagedFile;
  readonly #handle: FileHandle;
  readonly #pages: PlainPages;

  private constructor(staged: StagedFile, handle: FileHandle, pages: PlainPages) {
    this.#staged = staged;
    this.#handle = handle;
    this.#pages = pages;
  }

  /**
   * Collects the pages of `blocks`.
   * @param beside a path; the temporary file is made in the same directory
   * @throws {MappedRamError} as `PlainPages.apply`: ERR_MAPPED_RAM_INVALID_ARGUMENT when a page belongs to another
   * block
   */
  static async collect(
    reader: RandomAccessReader,
    offset: number,
    blocks: readonly PlainRamBlock[],
    pageSize: number,
    beside: string,
  ): Promise<PageSpool> {
    const places = new Map<string, PagePlace>();
    let start = 0;
    for (const { id, length } of blocks) {
      places.set(id, { start });
      start += length;
    }
    const staged = await StagedFile.create(`${beside}.pages`, { overwrite: true });
    let handle: FileHandle | undefined;
    try {
      handle = await open(staged.path, 'r+');
      await resize(handle.fd, staged.path, start);
      const pages = new PlainPages(handle.fd, staged.path, pageSize, places);
      for await (const batch of walkBatches(reader, { offset })) {
        if (isPages(batch)) await pages.apply(reader, batch);
      }
      await pages.finish();
      return new PageSpool(staged, handle, pages);
    } catch (error) {
      await handle?.close();
      staged.discard();
      throw error;
    }
  }

  /** The spool's path, valid until disposal. */
  get path(): string {
    return this.#staged.path;
  }

  /**
   * Offset of a block's start in the spool; undefined when the stream has no page of the block.
   * @param mayBeEmpty true for a block whose memory is zeros when the stream has no page of it
   */
  startOf(id: string, mayBeEmpty: boolean): number | undefined {
    const block = this.#pages.block(id);
    return block === undefined || (block.records === 0 && !mayBeEmpty) ? undefined : block.start;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    this.#staged.discard();
  }
}

/** True when a batch of a walk holds page records; no batch mixes them with others. */
function isPages(batch: readonly StreamRecord[]): batch is readonly RamPageRecord[] {
  return batch.length > 0 && batch.every(({ type }) => type === 'ram-page');
}
