import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ioError } from './fd-io.ts';

/**
 * A directory for temporary files. It is removed on disposal, and when the process ends by `process.exit` or an
 * uncaught error.
 */
export class Scratch implements AsyncDisposable {
  readonly path: string;
  #kept = false;

  private constructor(path: string) {
    this.path = path;
    process.on('exit', this.#remove);
  }

  /**
   * @param prefix the beginning of the directory's name
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO
   */
  static async create(base: string, prefix: string): Promise<Scratch> {
    const path = await mkdtemp(join(base, prefix)).catch((cause: unknown) => {
      throw ioError('cannot make a directory here', base, cause);
    });
    return new Scratch(path);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Lets the directory stay. */
  keep(): void {
    this.#kept = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#kept) await rm(this.path, { recursive: true, force: true });
    process.off('exit', this.#remove);
  }

  readonly #remove = (): void => {
    if (!this.#kept) rmSync(this.path, { recursive: true, force: true });
  };
}
