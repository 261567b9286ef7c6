import { open, type FileHandle } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import {
  walkBatches,
  type PlainRamBlock,
  type RamPageRecord,
  type RandomAccessReader,
  type StreamRecord,
} from '../stream/index.ts';
import { StagedFile } from '../transfer/staged-file.ts';
import { resize, writeAt } from './fd-io.ts';

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
  readonly #pageSize: number;

  private constructor(staged: StagedFile, handle: FileHandle, places: Map<string, Place>, pageSize: number) {
    this.#pageSize = pageSize;
    this.#staged = staged;
    this.#handle = handle;
    this.#places = places;
  }

  /**
   * Collects the pages of `blocks`.
   * @param beside the temporary file is made next to this path
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when a page belongs to another block (its RAM was given
   * elsewhere), ERR_MAPPED_RAM_UNSUPPORTED for xbzrle records, ERR_MAPPED_RAM_IO
   */
  static async collect(
    reader: RandomAccessReader,
    offset: number,
    blocks: readonly PlainRamBlock[],
    pageSize: number,
    beside: string,
  ): Promise<PageSpool> {
    const places = new Map<string, Place>();
    let start = 0;
    for (const { id, length } of blocks) {
      places.set(id, { start, length, seen: new Uint8Array(Math.ceil(length / pageSize / 8)), records: 0 });
      start += length;
    }
    const staged = await StagedFile.create(`${beside}.pages`, { overwrite: true });
    let handle: FileHandle | undefined;
    try {
      handle = await open(staged.path, 'r+');
      await resize(handle.fd, staged.path, start);
      const spool = new PageSpool(staged, handle, places, pageSize);
      for await (const batch of walkBatches(reader, { offset })) {
        for (const run of pageRuns(batch, pageSize)) await spool.#add(reader, run);
      }
      return spool;
    } catch (error) {
      await handle?.close();
      staged.discard();
      throw error;
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

  async #add(reader: RandomAccessReader, run: readonly [RamPageRecord, ...RamPageRecord[]]): Promise<void> {
    const [first] = run;
    const place = this.#placeOf(first, reader.name);
    place.records += run.length;
    const firstPage = first.blockOffset / this.#pageSize;
    if (first.kind === 'zero' && !hasBit(place.seen, firstPage)) return;
    for (let page = firstPage; page < firstPage + run.length; page += 1) setBit(place.seen, page);
    const bytes =
      first.kind === 'zero' ? new Uint8Array(this.#pageSize) : await readRun(reader, run, this.#pageSize);
    await writeAt(this.#handle.fd, this.path, bytes, place.start + first.blockOffset);
  }

  #placeOf({ block, kind, offset }: RamPageRecord, path: string): Place {
    const place = this.#places.get(block);
    if (place === undefined) {
      const message = `the state holds pages of block ${block}, whose RAM was given too`;
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', message, { path, offset });
    }
    if (kind === 'xbzrle') {
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'the state holds xbzrle pages', {
        path,
        offset,
        expected: 'a stream saved without the capability xbzrle',
      });
    }
    return place;
  }
}

/** Pages that are written at once. */
const RUN_PAGES = 64;
/** The head of a record between two pages: its word, and a block's id at most. */
const MAX_HEAD = 8 + 1 + 255;

/** The page records of a batch: pages that follow each other in their block and in the stream together, others alone. */
function* pageRuns(
  batch: readonly StreamRecord[],
  pageSize: number,
): Generator<readonly [RamPageRecord, ...RamPageRecord[]], void, void> {
  let run: [RamPageRecord, ...RamPageRecord[]] | undefined;
  for (const record of batch) {
    if (record.type !== 'ram-page') continue;
    const last = run?.at(-1);
    if (
      run !== undefined &&
      last !== undefined &&
      run.length < RUN_PAGES &&
      follows(record, last, pageSize)
    ) {
      run.push(record);
    } else {
      if (run !== undefined) yield run;
      run = [record];
    }
  }
  if (run !== undefined) yield run;
}

function follows(record: RamPageRecord, last: RamPageRecord, pageSize: number): boolean {
  const gap = record.dataOffset - (last.dataOffset + last.dataLength);
  return (
    record.kind === 'page' &&
    last.kind === 'page' &&
    record.block === last.block &&
    record.blockOffset === last.blockOffset + pageSize &&
    gap >= 0 &&
    gap <= MAX_HEAD
  );
}

/** The pages of a run, without the heads between them. */
async function readRun(
  reader: RandomAccessReader,
  run: readonly [RamPageRecord, ...RamPageRecord[]],
  pageSize: number,
): Promise<Uint8Array> {
  const start = run[0].dataOffset;
  const end = (run.at(-1) ?? run[0]).dataOffset + pageSize;
  const span = await reader.read(start, end - start);
  if (run.length === 1) return span;
  const pages = Buffer.allocUnsafe(run.length * pageSize);
  for (const [index, { dataOffset }] of run.entries()) {
    pages.set(span.subarray(dataOffset - start, dataOffset - start + pageSize), index * pageSize);
  }
  return pages;
}

function hasBit(bits: Uint8Array, index: number): boolean {
  return (((bits[index >>> 3] ?? 0) >>> (index & 7)) & 1) === 1;
}

function setBit(bits: Uint8Array, index: number): void {
  bits[index >>> 3] = (bits[index >>> 3] ?? 0) | (1 << (index & 7));
}
