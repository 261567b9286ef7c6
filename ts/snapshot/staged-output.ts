import { open, type FileHandle } from 'node:fs/promises';

import { removeAbandonedFiles, StagedFile } from '../engine/staged-file.ts';
import { ioError, resize, writeAt } from '../io/fd-io.ts';
import type { LocalFile } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import type { Companions } from './companions.ts';

/** A snapshot that gets a name: it is written beside the name, and `publish` gives it the name. */
export class StagedOutput implements Output {
  /** The path that the snapshot gets. */
  readonly name: string;
  readonly offset: number;
  readonly file: LocalFile;
  readonly #staged: StagedFile;
  readonly #handle: FileHandle;
  readonly #companions: Companions | undefined;

  private constructor(
    name: string,
    offset: number,
    staged: StagedFile,
    handle: FileHandle,
    companions: Companions | undefined,
  ) {
    this.name = name;
    this.offset = offset;
    this.file = { name, fd: handle.fd, path: staged.path };
    this.#staged = staged;
    this.#handle = handle;
    this.#companions = companions;
  }

  /**
   * Makes the file. It first removes the files that killed predecessors have left beside it, to make room.
   * @param offset bytes at the beginning that are kept of the file that has the name now
   * @param companions the companions of the replaced file, which go right before the replacement
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_IO
   */
  static async create(
    path: string,
    offset: number,
    overwrite: boolean,
    signal?: AbortSignal,
    companions?: Companions,
  ): Promise<StagedOutput> {
    await removeAbandonedFiles(path);
    const staged = await StagedFile.create(path, { keep: offset, overwrite, signal });
    try {
      await companions?.check(path);
    } catch (error) {
      staged.discard();
      throw error;
    }
    try {
      const handle = await open(staged.path, 'r+');
      return new StagedOutput(path, offset, staged, handle, companions);
    } catch (cause) {
      staged.discard();
      throw ioError('cannot open the new file', path, cause);
    }
  }

  /** Sets the full size before the first page: extending writes would take the inode's lock one after the other. */
  async allocate(size: number): Promise<void> {
    await resize(this.#handle.fd, this.name, size);
  }

  async writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    await writeAt(this.#handle.fd, this.name, bytes, offset);
  }

  async finish(): Promise<void> {
    await this.#staged.sync();
  }

  async publish(): Promise<void> {
    await this.#companions?.remove(this.name);
    await this.#staged.publish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    this.#staged.discard();
  }
}
