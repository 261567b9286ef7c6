import type { StorageSource, StorageTarget } from '../../ts/io/storage.ts';
import { RangeSet } from '../../ts/stream/range-set.ts';

const BLOCK = 4096;

/**
 * Storage in memory. It keeps a block only when bytes were written into it. It throws when the package breaks its
 * promises to a caller's storage: no byte comes twice, nothing comes after `finish`, and reads stay inside.
 */
export class MemoryStorage implements StorageSource, StorageTarget {
  readonly name: string;
  /** The last thing that was done to the storage as a whole. */
  state: 'open' | 'finished' | 'published' | 'dropped' = 'open';
  #size = 0;
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #written = new RangeSet();

  constructor(name = 'memory') {
    this.name = name;
  }

  /** Storage that holds these bytes. */
  static of(bytes: Uint8Array, name?: string): MemoryStorage {
    const storage = new MemoryStorage(name);
    storage.#put(bytes, 0);
    storage.#size = bytes.length;
    storage.state = 'published';
    return storage;
  }

  get size(): number {
    return this.#size;
  }

  get allocated(): number {
    return this.#blocks.size * BLOCK;
  }

  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    if (offset < 0 || offset + bytes.length > this.#size) throw new RangeError(`read at ${offset}`);
    await nextTurn();
    bytes.fill(0);
    this.#each(offset, bytes.length, (index, start, end, at) => {
      const block = this.#blocks.get(index);
      if (block !== undefined) bytes.set(block.subarray(start, end), at);
    });
  }

  async writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    if (this.state !== 'open') throw new Error(`written when it was ${this.state}`);
    if (!this.#written.add(offset, offset + bytes.length)) throw new Error(`written twice at ${offset}`);
    await nextTurn();
    this.#put(bytes, offset);
  }

  async finish(size: number): Promise<void> {
    this.state = 'finished';
    this.#size = size;
  }

  async publish(): Promise<void> {
    this.state = 'published';
  }

  async drop(): Promise<void> {
    this.state = 'dropped';
  }

  /** True when bytes were ever written into the block of 4 KiB at this offset. */
  hasBlock(offset: number): boolean {
    return this.#blocks.has(Math.floor(offset / BLOCK));
  }

  /** Flips a bit of the byte at this offset, past all checks. */
  flip(offset: number): void {
    const block = this.#blocks.get(Math.floor(offset / BLOCK));
    if (block === undefined) throw new Error(`nothing was written at ${offset}`);
    block[offset % BLOCK] = (block[offset % BLOCK] ?? 0) ^ 1;
  }

  async bytes(): Promise<Buffer> {
    const bytes = Buffer.alloc(this.#size);
    await this.readInto(bytes, 0);
    return bytes;
  }

  #put(bytes: Uint8Array, offset: number): void {
    this.#each(offset, bytes.length, (index, start, end, at) => {
      const block = this.#blocks.get(index) ?? new Uint8Array(BLOCK);
      block.set(bytes.subarray(at, at + end - start), start);
      this.#blocks.set(index, block);
    });
  }

  /** Calls `use` for each part of a block in a range: block, start and end in the block, start in the range. */
  #each(
    offset: number,
    length: number,
    use: (index: number, start: number, end: number, at: number) => void,
  ): void {
    for (let at = 0; at < length;) {
      const start = (offset + at) % BLOCK;
      const count = Math.min(BLOCK - start, length - at);
      use(Math.floor((offset + at) / BLOCK), start, start + count, at);
      at += count;
    }
  }
}

/** Waits a turn, as slow storage does, so that several reads and writes are under way. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
