import { MappedRamError } from '../errors.ts';
import { byteCount } from '../io/byte-count.ts';
import type { FileReader } from '../io/file-reader.ts';
import { blocksWithPages } from './blocks.ts';
import type { MappedRamBlock, MappedRamIndex } from '../stream/stream-index.ts';
import { BitmapCache } from './bitmap-cache.ts';
import { pageRuns, type PageRun } from './page-runs.ts';

/** The most that one read gives: more is for `extract`, or to be asked for in parts. */
const MAX_READ = 2 ** 30;
/** Runs with no more than this between them are read at once: reading a gap costs less than another request. */
const MAX_GAP = 1 << 16;

/** The memory of a snapshot, block by block. */
export class SnapshotMemory {
  readonly #reader: FileReader;
  readonly #ram: MappedRamIndex;
  readonly #cache: BitmapCache;

  constructor(reader: FileReader, ram: MappedRamIndex) {
    this.#reader = reader;
    this.#ram = ram;
    this.#cache = new BitmapCache(reader);
  }

  /**
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that there is not; ERR_MAPPED_RAM_UNSUPPORTED
   * for one that was saved without its pages (docs/format.md §2.4)
   */
  block(id: string): MappedRamBlock {
    const [block] = blocksWithPages([id], this.#ram.blocks, this.#reader.name);
    if (block !== undefined) return block;
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `block ${id} is there and was not found`);
  }

  /** As `Snapshot.read`. */
  async read(id: string, offset: number | bigint, length: number | bigint): Promise<Uint8Array> {
    const block = this.block(id);
    const [from, count] = [byteCount('offset in the block', offset), readLength(length)];
    assertWithin(block, from, count);
    const bytes = new Uint8Array(count);
    await this.#fill(bytes, block, from);
    return bytes;
  }

  /** As `read`, into a buffer of the caller's, whatever is in it. */
  async readInto(bytes: Uint8Array, id: string, offset: number): Promise<void> {
    const block = this.block(id);
    assertWithin(block, offset, bytes.length);
    bytes.fill(0);
    await this.#fill(bytes, block, offset);
  }

  /** As `Snapshot.pages`, or those of a part of the block. */
  pages(id: string, first?: number, end?: number): AsyncGenerator<PageRun, void, void> {
    return pageRuns(this.#cache, this.block(id), first, end);
  }

  /** Of bytes that are zero: reads what the file has of them. */
  async #fill(bytes: Uint8Array, block: MappedRamBlock, offset: number): Promise<void> {
    const { pageSize, pagesOffset } = block.area;
    const end = offset + bytes.length;
    const first = Math.floor(offset / pageSize);
    /** What is to be read at once, as offsets in the block; and the pages between that are not to be believed. */
    let from = 0;
    let to = 0;
    let gaps: Uint8Array[] = [];
    const flush = async (): Promise<void> => {
      if (to > from) {
        await this.#reader.readInto(bytes.subarray(from - offset, to - offset), pagesOffset + from);
      }
      for (const gap of gaps) gap.fill(0);
      [from, to, gaps] = [end, end, []];
    };
    for await (const run of pageRuns(this.#cache, block, first, Math.ceil(end / pageSize))) {
      if (run.fileOffset === undefined) continue;
      const start = Math.max(run.offset, offset);
      if (to > from && start - to <= MAX_GAP) gaps.push(bytes.subarray(to - offset, start - offset));
      else {
        await flush();
        from = start;
      }
      to = Math.min(run.offset + run.length, end);
    }
    await flush();
  }
}

/** Before anything is allocated. */
export function readLength(length: number | bigint): number {
  const count = byteCount('length to read', length);
  if (count <= MAX_READ) return count;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'length to read at once', {
    expected: `at most ${MAX_READ} bytes`,
    found: count,
  });
}

function assertWithin({ id, length }: MappedRamBlock, offset: number, count: number): void {
  if (offset + count <= length) return;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', `the range is not in block ${id}`, {
    expected: `at most ${length} bytes`,
    found: `${count} bytes at ${offset}`,
  });
}
