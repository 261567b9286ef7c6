import { MappedRamError } from '../../errors.ts';
import { byteCount } from '../../io/byte-count.ts';
import { binding, toMappedRamError, type BindingModule } from '../binding.ts';
import { assertPid } from './changed-pages.ts';
import type { TransferMemory } from '../transfer.ts';

/** Pages of a process to be copied. */
export interface CopiedBlock {
  /** Address of the block in the process's address space. */
  readonly address: number;
  /** Offset and length of each run in turn, in bytes from the start of the block, ascending; as `changedPages` gives. */
  readonly runs: Float64Array;
}

/** The outcome of a copy. */
export interface CopyOutcome {
  /** Bytes that were copied. */
  readonly bytes: number;
  /** Of each block, the runs that did not fit, or the parts of them: offset and length in turn, in bytes. */
  readonly left: readonly Float64Array[];
}

export interface CopyOptions {
  /** 1 to 64. @default 2 */
  readonly threads?: number | undefined;
  /**
   * A run for which there is not enough room is cut at a multiple of this many bytes from the start of its block: the size
   * of the guest's pages, a power of two.
   * @default 4096
   */
  readonly unit?: number | undefined;
}

/** More threads find nothing to do on most hosts. */
const THREADS = 2;
const MOST_THREADS = 64;
const UNIT = 4096;

/**
 * A buffer for pages of a process that stands still, to be written when it goes on. Every page of the buffer exists before
 * the copy, which is several times as fast as making the pages meanwhile.
 */
export class ProcessCopy implements Disposable {
  /** Bytes that the buffer has room for: those asked for, rounded up to whole pages. */
  readonly capacity: number;
  readonly #native: InstanceType<BindingModule['BindingProcessCopy']>;

  private constructor(native: InstanceType<BindingModule['BindingProcessCopy']>, capacity: number) {
    this.#native = native;
    this.capacity = capacity;
  }

  /**
   * Makes the buffer, off the event loop: some hundred milliseconds for a GiB.
   * @param capacity bytes, more than 0; the caller bounds it by the memory that the host has to spare
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the host has not so much memory; ERR_MAPPED_RAM_INVALID_ARGUMENT
   */
  static async create(capacity: number): Promise<ProcessCopy> {
    byteCount('capacity', capacity);
    const { BindingProcessCopy } = binding();
    const native = new BindingProcessCopy();
    const error = await native.open(capacity);
    if (error) throw toMappedRamError(error);
    return new ProcessCopy(native, native.capacity() ?? capacity);
  }

  /**
   * Copies pages into the buffer, which forgets what it had. What does not fit is left out, and told. After an error the
   * copy is empty.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for runs that are none, a unit that is none, while a transfer uses the copy, and
   *   when it is closed; ERR_MAPPED_RAM_TRUNCATED for an address at which nothing can be read; ERR_MAPPED_RAM_IO when this
   *   process may not look, or there is no such process
   */
  async copy(
    pid: number,
    blocks: readonly CopiedBlock[],
    { threads = THREADS, unit = UNIT }: CopyOptions = {},
  ): Promise<CopyOutcome> {
    assertPid(pid);
    if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS) {
      throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'threads', {
        expected: `1 to ${MOST_THREADS}`,
        found: threads,
      });
    }
    const addresses = Float64Array.from(blocks, ({ address }) => address);
    const runs = blocks.map((block) => block.runs);
    const { BindingCopying } = binding();
    const copying = new BindingCopying(this.#native, pid, addresses, runs, byteCount('unit', unit), threads);
    const { error, bytes, left } = await copying.run();
    if (error !== undefined) throw toMappedRamError(error);
    return { bytes, left };
  }

  /**
   * A block of the copy as the memory of a save. Only its runs have data.
   * @param index of the block in the call of `copy`
   */
  memory(index: number): TransferMemory {
    return { copy: { native: this.#native, block: index } };
  }

  /** Gives the memory back: at once, or when the transfer that uses it ends. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
