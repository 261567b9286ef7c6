import { MappedRamError } from '../errors.ts';
import { truncated } from '../stream/reader.ts';
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
  /** Size in bytes; fixed while the storage is in use. */
  readonly size: number;
  /** Bytes that the storage keeps for the snapshot. @default its size */
  readonly allocated?: number | undefined;
  /**
   * Fills the buffer with the bytes from an offset on, which never reach beyond the end. An error thrown here becomes
   * the cause of a `MappedRamError`.
   */
  readInto(bytes: Uint8Array, offset: number): Promise<void>;
}

/**
 * Storage that the bytes of a snapshot go to when it is to be no file of this host. Ranges that are never written read
 * as zeros; no byte is written twice. Several writes are under way at once.
 */
export interface StorageTarget {
  /** The name that errors and results use. @default 'storage' */
  readonly name?: string | undefined;
  /** Takes all of the bytes. The caller changes the buffer once the promise has settled. */
  writeAt(bytes: Uint8Array, offset: number): Promise<void>;
  /** Makes the snapshot durable, which is written whole and has this size in bytes. */
  finish(size: number): Promise<void>;
  /** Makes the snapshot visible, in the place of an earlier one. */
  publish(): Promise<void>;
  /** Removes everything: called in place of `publish` when the work failed or was aborted. */
  drop(): Promise<void>;
}

/** The name of storage that brings none. */
export const STORAGE_NAME = 'storage';

/** A caller's storage as a source. */
export class StorageReader implements OpenSource {
  readonly name: string;
  readonly size: number;
  readonly allocated: number;
  readonly file = undefined;
  readonly #storage: StorageSource;
  readonly #signal: AbortSignal | undefined;
  #closed = false;

  /**
   * @param signal ends the reading: every later read throws the signal's reason
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a size that is no whole number of bytes
   */
  constructor(storage: StorageSource, signal?: AbortSignal) {
    this.name = storage.name ?? STORAGE_NAME;
    this.size = byteCount('size of the storage', storage.size);
    this.allocated = byteCount('allocated bytes of the storage', storage.allocated ?? storage.size);
    this.#storage = storage;
    this.#signal = signal;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#assertWithin(offset, length);
    const bytes = Buffer.allocUnsafe(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    this.#assertWithin(offset, bytes.length);
    this.#signal?.throwIfAborted();
    if (bytes.length === 0) return;
    try {
      await this.#storage.readInto(bytes, offset);
    } catch (cause) {
      this.#signal?.throwIfAborted();
      throw cause instanceof MappedRamError
        ? cause
        : ioError('cannot read the storage', this.name, cause, offset);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Checks the range before any allocation: a lying length must not size it. */
  #assertWithin(offset: number, length: number): void {
    if (this.#closed)
      throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'the snapshot is closed', { path: this.name });
    if (offset + length > this.size) throw truncated(this.name, offset, length, this.size);
  }
}
