import { AbortableCalls } from '../io/abortable-calls.ts';
import type { Output } from '../io/output.ts';
import { STORAGE_NAME, storageError, type StorageTarget } from '../io/storage.ts';

/** A snapshot that goes to storage of the caller's. */
export class StorageOutput implements Output {
  readonly name: string;
  readonly offset: number;
  readonly file = undefined;
  readonly #storage: StorageTarget;
  readonly #signal: AbortSignal | undefined;
  readonly #calls: AbortableCalls;
  /** The end of the written bytes, or of the allocated ones. */
  #size: number;
  #isPublished = false;

  /** @param signal ends the waiting for the storage until the snapshot is published */
  constructor(storage: StorageTarget, offset: number, signal?: AbortSignal) {
    this.name = storage.name ?? STORAGE_NAME;
    this.offset = offset;
    this.#storage = storage;
    this.#size = offset;
    this.#signal = signal;
    this.#calls = new AbortableCalls(signal);
  }

  async allocate(size: number): Promise<void> {
    this.#size = Math.max(this.#size, size);
  }

  async writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    if (bytes.length === 0) return;
    this.#size = Math.max(this.#size, offset + bytes.length);
    const signal = this.#signal;
    await this.#untilAborted(
      'cannot write to the storage',
      () => this.#storage.writeAt(bytes, offset, { signal }),
      offset,
    );
  }

  async finish(): Promise<void> {
    const signal = this.#signal;
    await this.#untilAborted('cannot finish what was written to the storage', () =>
      this.#storage.finish(this.#size, { signal }),
    );
  }

  async publish(): Promise<void> {
    // A publication that an abort left alone could come after `drop`.
    try {
      await this.#storage.publish();
    } catch (cause) {
      throw storageError('cannot publish what was written to the storage', this.name, cause);
    }
    this.#isPublished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isPublished) return;
    try {
      await this.#storage.drop();
    } catch {
      // The caller hears of the error that came before.
    }
  }

  async #untilAborted(words: string, call: () => Promise<void>, offset?: number): Promise<void> {
    try {
      await this.#calls.run(call);
    } catch (cause) {
      this.#signal?.throwIfAborted();
      throw storageError(words, this.name, cause, offset);
    }
  }
}
