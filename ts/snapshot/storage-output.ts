import { MappedRamError } from '../errors.ts';
import { ioError } from '../io/fd-io.ts';
import type { Output } from '../io/output.ts';
import { STORAGE_NAME, type StorageTarget } from '../io/storage.ts';

/** A snapshot that goes to storage of the caller's. */
export class StorageOutput implements Output {
  readonly name: string;
  readonly offset: number;
  readonly file = undefined;
  readonly #storage: StorageTarget;
  /** The end of the written bytes, or of the allocated ones. */
  #size: number;
  #isPublished = false;

  constructor(storage: StorageTarget, offset: number) {
    this.name = storage.name ?? STORAGE_NAME;
    this.offset = offset;
    this.#storage = storage;
    this.#size = offset;
  }

  async allocate(size: number): Promise<void> {
    this.#size = Math.max(this.#size, size);
  }

  async writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    if (bytes.length === 0) return;
    this.#size = Math.max(this.#size, offset + bytes.length);
    await this.#do('cannot write to the storage', () => this.#storage.writeAt(bytes, offset), offset);
  }

  async finish(): Promise<void> {
    await this.#do('cannot finish what was written to the storage', () => this.#storage.finish(this.#size));
  }

  async publish(): Promise<void> {
    await this.#do('cannot publish what was written to the storage', () => this.#storage.publish());
    this.#isPublished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The caller hears of the error that came before.
    if (!this.#isPublished) await this.#storage.drop().catch(() => undefined);
  }

  async #do(words: string, work: () => Promise<void>, offset?: number): Promise<void> {
    try {
      await work();
    } catch (cause) {
      throw cause instanceof MappedRamError ? cause : ioError(words, this.name, cause, offset);
    }
  }
}
