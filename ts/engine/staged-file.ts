import { addAbortListener } from 'node:events';

import { binding, toMappedRamError, type BindingModule } from './binding.ts';

export interface StagedFileOptions {
  /** Bytes to copy from the beginning of the file that has the name now. Default 0. */
  readonly keep?: number | undefined;
  /** Lets the file replace an existing one. Default false. */
  readonly overwrite?: boolean | undefined;
  /** Ends the copying of the kept bytes. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Removes the partial files that killed processes left beside `target`. Files of living processes stay, in whichever
 * container or on whichever host they run. A file that cannot be removed stays, too.
 */
export async function removeAbandonedFiles(target: string): Promise<void> {
  await binding().removeAbandonedFiles(target);
}

/**
 * A file that appears under its name only when it is complete: it is written beside the name, fsynced by `sync` and
 * renamed by `publish`. Any other end of its life (`discard`, disposal, a terminated worker) removes what was written.
 */
export class StagedFile implements AsyncDisposable {
  readonly #native: InstanceType<BindingModule['BindingStagedFile']>;
  /** The path to write to. */
  readonly path: string;

  private constructor(native: InstanceType<BindingModule['BindingStagedFile']>, path: string) {
    this.#native = native;
    this.path = path;
  }

  /**
   * Makes the file beside `target`.
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS when there is a file and `overwrite` is not set,
   *   ERR_MAPPED_RAM_UNSUPPORTED when the name belongs to something else than a regular file, ERR_MAPPED_RAM_IO
   */
  static async create(target: string, options: StagedFileOptions = {}): Promise<StagedFile> {
    const { keep = 0, overwrite = false, signal } = options;
    signal?.throwIfAborted();
    const { BindingStagedFile } = binding();
    const native = new BindingStagedFile(target, keep, overwrite);
    const listener = signal === undefined ? undefined : addAbortListener(signal, () => native.cancel());
    try {
      const error = await native.open();
      signal?.throwIfAborted();
      if (error) throw toMappedRamError(error);
      return new StagedFile(native, native.partial() ?? '');
    } catch (error) {
      native.discard();
      throw error;
    } finally {
      listener?.[Symbol.dispose]();
    }
  }

  /**
   * Makes the contents durable: whatever can fail for want of space fails here.
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO
   */
  async sync(): Promise<void> {
    const error = await this.#native.sync();
    if (error) throw toMappedRamError(error);
  }

  /**
   * Gives the file its name, and makes the name durable.
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_IO; the partial file is gone then
   */
  async publish(): Promise<void> {
    const error = await this.#native.publish();
    if (error) throw toMappedRamError(error);
  }

  /** Removes the partial file. Does nothing after `publish`. */
  discard(): void {
    this.#native.discard();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.discard();
  }
}
