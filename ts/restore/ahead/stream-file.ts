import { type FileHandle, open } from 'node:fs/promises';

import { createStateFile } from '../../engine/state-file.ts';
import { type AnonymousFile, procPath } from '../../io/anonymous-file.ts';
import { ioError } from '../../io/fd-io.ts';

/**
 * The file of a state stream, without a name. QEMUs may be handed it before the stream is in it: each opens it anew, and
 * reads from its beginning.
 */
export class StreamFile implements AsyncDisposable {
  readonly #file: AnonymousFile;
  readonly #reader: FileHandle;

  private constructor(file: AnonymousFile, reader: FileHandle) {
    this.#file = file;
    this.#reader = reader;
  }

  /**
   * @param blocks those that the stream may have pages of, with the bytes of these
   * @param inMemory true for pages that must not reach a disk
   * @throws {MappedRamError} as `createStateFile`; ERR_MAPPED_RAM_IO
   */
  static async create(
    blocks: readonly { readonly length: number }[],
    inMemory?: boolean,
  ): Promise<StreamFile> {
    const file = await createStateFile(blocks, inMemory);
    try {
      return new StreamFile(file, await open(file.procPath, 'r'));
    } catch (cause) {
      await file.close();
      throw ioError('cannot open the state stream again', file.procPath, cause);
    }
  }

  /** The file in words. */
  get name(): string {
    return `the state stream (in ${this.#file.place})`;
  }

  /** The descriptor to write by. */
  get fd(): number {
    return this.#file.fd;
  }

  /** A descriptor that is open for reading only, as QEMU wants descriptors in an fdset to be. */
  get readFd(): number {
    return this.#reader.fd;
  }

  /** The path by which QEMUs of the same user on this host can open the file, until it is closed. */
  get path(): string {
    return procPath(this.readFd);
  }

  /** Closes the descriptor to write by: nothing is to be added. */
  async seal(): Promise<void> {
    await this.#file.close();
  }

  /** Closes this process's descriptors. May be called again. */
  async close(): Promise<void> {
    await this.#file.close();
    if (this.#reader.fd !== -1) await this.#reader.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
