import { MappedRamError } from '../errors.ts';
import { byteCount } from '../io/byte-count.ts';
import type { OpenSource } from '../io/open-source.ts';
import { blocksWithPages } from './blocks.ts';
import type { MappedRamBlock, MappedRamIndex } from '../stream/stream-index.ts';
import { BitmapCache } from './bitmap-cache.ts';
import { fillPages } from './fill-pages.ts';
import { pageRuns, type PageRun } from './page-runs.ts';

/** The most bytes that one read gives: `extract` gives more, and so do several reads. */
const MAX_READ = 2 ** 30;

/** The memory of a snapshot, block by block. */
export class SnapshotMemory {
  readonly #reader: OpenSource;
  readonly #ram: MappedRamIndex;
  readonly #cache: BitmapCache;

  constructor(reader: OpenSource, ram: MappedRamIndex) {
    this.#reader = reader;
    this.#ram = ram;
    this.#cache = new BitmapCache(reader);
  }

  /**
   * Finds a block that has pages.
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that there is not; ERR_MAPPED_RAM_UNSUPPORTED
   *   for one that was saved without its pages (docs/format.md §2.4)
   */
  block(id: string): MappedRamBlock {
    const [block] = blocksWithPages([id], this.#ram.blocks, this.#reader.name);
    if (block !== undefined) return block;
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `block ${id} is there and was not found`);
  }

  /** Reads like `Snapshot.read`. */
  async read(id: string, offset: number | bigint, length: number | bigint): Promise<Uint8Array> {
    const block = this.block(id);
    const [from, count] = [byteCount('offset in the block', offset), readLength(length)];
    assertWithin(block, from, count);
    const bytes = new Uint8Array(count);
    await fillPages(this.#reader, this.#cache, block.area, bytes, from);
    return bytes;
  }

  /** Reads like `read`, into a buffer of the caller's, whatever is in it. */
  async readInto(bytes: Uint8Array, id: string, offset: number): Promise<void> {
    const block = this.block(id);
    assertWithin(block, offset, bytes.length);
    bytes.fill(0);
    await fillPages(this.#reader, this.#cache, block.area, bytes, offset);
  }

  /** The runs of pages as `Snapshot.pages` gives them, or those of a part of the block. */
  pages(id: string, first?: number, end?: number): AsyncGenerator<PageRun, void, void> {
    return pageRuns(this.#cache, this.block(id).area, first, end);
  }
}

/** Checks a length before anything is allocated for it. */
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
