import { binding, toMappedRamError } from '../native.ts';

export interface StagedFileOptions {
  /** Bytes at the beginning that are copied from the file that has the name now. Default 0. */
  readonly keep?: number | undefined;
  /** Whether an existing file may be replaced. Default false. */
  readonly overwrite?: boolean | undefined;
}

/**
 * A file that appears under its name only when it is complete: written beside it, then fsynced and renamed by `commit`.
 * Whatever else ends its life (`discard`, disposal, a terminated worker) removes what was written.
 */
export class StagedFile implements AsyncDisposable {
  readonly #native: InstanceType<typeof binding.BindingStagedFile>;
  /** The path to write to. */
  readonly path: string;

  private constructor(native: InstanceType<typeof binding.BindingStagedFile>, path: string) {
    this.#native = native;
    this.path = path;
  }

  /**
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS when there is a file and `overwrite` is not set,
   * ERR_MAPPED_RAM_UNSUPPORTED when the name belongs to something else than a regular file, ERR_MAPPED_RAM_IO
   */
  static async create(target: string, options: StagedFileOptions = {}): Promise<StagedFile> {
    const native = new binding.BindingStagedFile(target, options.keep ?? 0, options.overwrite ?? false);
    const error = await native.open();
    if (error) throw toMappedRamError(error);
    return new StagedFile(native, native.partial() ?? '');
  }

  /**
   * Makes the file durable and gives it its name.
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_IO; the partial file is gone then
   */
  async commit(): Promise<void> {
    const error = await this.#native.commit();
    if (error) throw toMappedRamError(error);
  }

  /** Removes what was written. Does nothing after `commit`. */
  discard(): void {
    this.#native.discard();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.discard();
  }
}
