import { MappedRamError, toError } from '../errors.ts';
import { truncated } from '../stream/reader.ts';
import { AbortableCalls } from './abortable-calls.ts';
import { byteCount } from './byte-count.ts';
import { ioError } from './fd-io.ts';
import type { OpenSource } from './open-source.ts';

/**
 * Storage that the bytes of a snapshot come from when it is no file of this host: object storage, memory. It stays the
 * caller's, and is not closed. Several reads are under way at once.
 */
export interface StorageSource {
  /** The name that errors and results use. @default 'storage' */
  readonly name?: string | undefined;
  /** Size in bytes; asked for once, and fixed while the storage is in use. */
  readonly size: number;
  /** Bytes that the storage keeps for the snapshot. @default its size */
  readonly allocated?: number | undefined;
  /**
   * Fills the whole buffer with the bytes from an offset on, which never reach beyond the end. A function that returns
   * how many bytes it read, by itself or as a `FileHandle` does, is checked: any other number than the buffer's length
   * is an error. An error thrown here becomes the cause of a `MappedRamError`. An abort does not wait for the read: what
   * the function writes into the buffer later is lost.
   */
  readInto(
    bytes: Uint8Array,
    offset: number,
    options: StorageCallOptions,
  ): Promise<void | number | { readonly bytesRead: number }>;
}

/**
 * Storage that the bytes of a snapshot go to when it is to be no file of this host. Ranges that are never written read
 * as zeros; no byte is written twice. Several writes are under way at once.
 */
export interface StorageTarget {
  /** The name that errors and results use. @default 'storage' */
  readonly name?: string | undefined;
  /**
   * Takes all of the bytes. The caller changes the buffer once the promise has settled, or after an abort, which does
   * not wait for the write.
   */
  writeAt(bytes: Uint8Array, offset: number, options: StorageCallOptions): Promise<void>;
  /** Makes the snapshot durable, which is written whole and has this size in bytes. An abort does not wait for it. */
  finish(size: number, options: StorageCallOptions): Promise<void>;
  /** Makes the snapshot visible, in the place of an earlier one. An abort that comes meanwhile is too late. */
  publish(): Promise<void>;
  /**
   * Removes everything: called in place of `publish` when the work failed or was aborted, and after a `publish` that
   * failed. Calls that an abort did not wait for may still be under way.
   */
  drop(): Promise<void>;
}

/** The options of a call into a caller's storage. */
export interface StorageCallOptions {
  /** The signal of the work. It aborts when nobody waits for the call any more. @default undefined: no abort can come */
  readonly signal?: AbortSignal | undefined;
}

/** The name of storage that brings none. */
export const STORAGE_NAME = 'storage';

/** A caller's storage with what was asked of it once. */
interface OpenStorage {
  readonly storage: StorageSource;
  readonly name: string;
  readonly size: number;
  readonly allocated: number;
  isClosed: boolean;
}

/** A caller's storage as a source. */
export class StorageReader implements OpenSource {
  readonly name: string;
  readonly size: number;
  readonly allocated: number;
  readonly file = undefined;
  readonly storage: StorageSource;
  readonly #open: OpenStorage;
  readonly #calls: AbortableCalls;
  readonly #signal: AbortSignal | undefined;

  private constructor(open: OpenStorage, signal: AbortSignal | undefined) {
    this.name = open.name;
    this.size = open.size;
    this.allocated = open.allocated;
    this.storage = open.storage;
    this.#open = open;
    this.#signal = signal;
    this.#calls = new AbortableCalls(signal);
  }

  /**
   * @param signal ends the reading, also a read that is under way: every later read throws the signal's reason
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a size that is no whole number of bytes
   */
  static open(storage: StorageSource, signal?: AbortSignal): StorageReader {
    const size = byteCount('size of the storage', storage.size);
    const allocated = byteCount('allocated bytes of the storage', storage.allocated ?? size);
    const name = storage.name ?? STORAGE_NAME;
    return new StorageReader({ storage, name, size, allocated, isClosed: false }, signal);
  }

  until(signal: AbortSignal): StorageReader {
    const both = this.#signal === undefined ? signal : AbortSignal.any([this.#signal, signal]);
    return new StorageReader(this.#open, both);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#assertWithin(offset, length);
    // The storage is the caller's code. What it does not fill must not be bytes of this process.
    const bytes = new Uint8Array(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    this.#assertWithin(offset, bytes.length);
    this.#signal?.throwIfAborted();
    if (bytes.length === 0) return;
    let result: unknown;
    try {
      result = await this.#calls.run(() => this.storage.readInto(bytes, offset, { signal: this.#signal }));
    } catch (cause) {
      this.#signal?.throwIfAborted();
      throw storageError('cannot read the storage', this.name, cause, offset);
    }
    const count = countIn(result);
    if (count === undefined || count === bytes.length) return;
    throw new MappedRamError('ERR_MAPPED_RAM_TRUNCATED', 'the storage gave another number of bytes', {
      path: this.name,
      offset,
      expected: `${bytes.length} bytes`,
      found: `${count} bytes`,
    });
  }

  async close(): Promise<void> {
    this.#open.isClosed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Checks the range before any allocation: a lying length must not size it. */
  #assertWithin(offset: number, length: number): void {
    if (this.#open.isClosed)
      throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'the snapshot is closed', { path: this.name });
    if (offset + length > this.size) throw truncated(this.name, offset, length, this.size);
  }
}

/** The error for whatever a caller's storage threw. */
export function storageError(words: string, name: string, thrown: unknown, offset?: number): MappedRamError {
  return thrown instanceof MappedRamError ? thrown : ioError(words, name, toError(thrown), offset);
}

/** The number of bytes that a read returned; undefined when it returned none. */
function countIn(result: unknown): number | undefined {
  const count =
    typeof result === 'object' && result !== null && 'bytesRead' in result ? result.bytesRead : result;
  return typeof count === 'number' ? count : undefined;
}
