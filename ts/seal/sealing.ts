import type { TransferOptions } from '../engine/transfer-options.ts';
import { makeSeal, type SealPart } from './make-seal.ts';
import { isSeal, SealOutput, sealPathFor } from './seal-file.ts';
import { PIECE_SIZE } from './seal.ts';

/** The choice whether a snapshot gets a seal, and of the seal's path. */
export interface SealingOptions extends Pick<TransferOptions, 'signal'> {
  /**
   * Seals the snapshot while it is written: digests of its pages and of everything else go to a small file beside it,
   * which `verify` checks against. @default false
   */
  readonly seal?: boolean | undefined;
  /** The path of the seal. @default the snapshot's path and `.seal`; a snapshot that is given by descriptor has none */
  readonly sealPath?: string | undefined;
  /** Lets the outputs replace existing files. @default false */
  readonly overwrite?: boolean | undefined;
}

/**
 * The seal of a snapshot that is being written, if the caller asks for one. Disposal removes a seal that was not
 * published. The old seal of a replaced snapshot is not its business: that one goes when the new snapshot gets its
 * name.
 */
export class Sealing implements AsyncDisposable {
  readonly #output: SealOutput | undefined;

  private constructor(output: SealOutput | undefined) {
    this.#output = output;
  }

  /**
   * @param snapshot its path, undefined when it is given by descriptor
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS when there is a file that may not be replaced (the old seal of a
   *   snapshot that is replaced by name may be); ERR_MAPPED_RAM_INVALID_ARGUMENT when nothing says where the seal goes;
   *   ERR_MAPPED_RAM_IO
   */
  static async begin(snapshot: string | undefined, options: SealingOptions): Promise<Sealing> {
    const { seal, sealPath, overwrite = false, signal } = options;
    if (seal !== true) return new Sealing(undefined);
    const path = sealPathFor(snapshot, sealPath);
    const isStale = sealPath === undefined && (await isSeal(path));
    return new Sealing(await SealOutput.create(path, overwrite || isStale, signal));
  }

  /**
   * Checks that a seal can be made, as `begin` does. Leaves nothing.
   * @throws {MappedRamError} as `begin`
   */
  static async check(snapshot: string | undefined, options: SealingOptions): Promise<void> {
    await (await Sealing.begin(snapshot, options))[Symbol.asyncDispose]();
  }

  /** The path of the new seal. */
  get path(): string | undefined {
    return this.#output?.path;
  }

  /** The size of the pieces that are digested while pages are written, in bytes. */
  get pieceSize(): number | undefined {
    return this.#output === undefined ? undefined : PIECE_SIZE;
  }

  /** Writes the seal. The snapshot is written then, and does not have its name yet. */
  async write(part: SealPart, signal: AbortSignal | undefined): Promise<void> {
    await this.#output?.write(await makeSeal(part, signal));
  }

  /** Publishes the seal. The snapshot has its name then. */
  async publish(): Promise<void> {
    await this.#output?.publish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output?.[Symbol.asyncDispose]();
  }
}
