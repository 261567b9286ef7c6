import type { ProcessCopy } from '../../engine/process/process-copy.ts';
import type { TransferMemory } from '../../engine/transfer.ts';
import { MappedRamError } from '../../errors.ts';
import { type FileBeneath, mayChangeBeneath, openBeneath } from '../../host/memory-beneath.ts';
import { type ByteRuns, bytesInRuns, withoutRuns } from '../../pages/byte-runs.ts';
import { isEnough, roomFor } from '../../negotiate/capture/copy-room.ts';
import type { ProcessMemory, ProcessMemoryBlock } from '../../qemu/memory/process-memory.ts';
import { findOwnPages, type OpenFile, type PageSearch } from './own-pages.ts';
import { roomForCopy } from './room-for-copy.ts';

/** A block of a guest that stands still. */
export interface TakenBlock {
  readonly id: string;
  /** Used length in bytes. */
  readonly length: number;
  readonly kind: 'anonymous' | 'private' | 'shared';
  /**
   * The pages that only the process has, and those that exist of a file which QEMU may change. All others show the file, or
   * are zeros.
   */
  readonly runs: ByteRuns;
  /** Those of them that are in the copy. */
  readonly copied: ByteRuns;
  /** Those that are not, for which there was no room: they are the guest's only as long as it stands still. */
  readonly left: ByteRuns;
  readonly copy: TransferMemory | undefined;
  readonly process: TransferMemory;
  /** The file beneath, for the pages that are not in the copy: of private memory those that the process does not have, where
   * nobody changes the file. */
  readonly file: TransferMemory | undefined;
}

export interface CaptureOptions extends PageSearch {
  /** The most bytes of this process's memory for a copy; 0 for none. @default an eighth of what the host has to spare, or less */
  readonly maxCopyMemory?: number | undefined;
  /** The blocks that are mapped out of the base, whose file nobody reads. */
  readonly onBase: readonly string[];
  /** Room that was made before, and stays the caller's: used where it is enough, and the caller of the save says nothing. */
  readonly room?: ProcessCopy | undefined;
}

/**
 * The memory of a guest in QEMU's process. What takes time is done while the guest runs: its files are opened, and room
 * for a copy of its pages is made. Disposal gives all of that back.
 */
export class CapturedMemory implements AsyncDisposable {
  readonly #memory: ProcessMemory;
  readonly #search: PageSearch;
  readonly #files: ReadonlyMap<string, OpenFile>;
  readonly #copy: ProcessCopy | undefined;
  /** The copy, where it was made for this save. */
  readonly #made: ProcessCopy | undefined;

  private constructor(
    memory: ProcessMemory,
    search: PageSearch,
    files: ReadonlyMap<string, OpenFile>,
    room: ProcessCopy | undefined,
    made: ProcessCopy | undefined,
  ) {
    this.#memory = memory;
    this.#search = search;
    this.#files = files;
    this.#copy = made ?? room;
    this.#made = made;
  }

  /**
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when a file beneath the memory cannot be opened; as
   *   `changedPages`; ERR_MAPPED_RAM_IO when the host has not the `maxCopyMemory` that was asked for
   */
  static async ready(
    memory: ProcessMemory,
    { maxCopyMemory, onBase, room, ...search }: CaptureOptions,
  ): Promise<CapturedMemory> {
    const files = new Map<string, OpenFile>();
    try {
      for (const { id, beneath } of memory.blocks) {
        if (beneath.kind === 'anonymous' || onBase.includes(id)) continue;
        const handle = await openBeneath(memory.pid, beneath.file);
        if (handle === undefined) throw unopened(id, beneath.file);
        const isRead = beneath.kind === 'shared' || (await mayChangeBeneath(memory.pid, beneath.file));
        files.set(id, { handle, isRead });
      }
      const now = await findOwnPages(memory, search, files);
      const bytes = now.reduce((sum, runs) => sum + bytesInRuns(runs), 0);
      const hasRoom = maxCopyMemory === undefined && room !== undefined && isEnough(room.capacity, bytes);
      const made = hasRoom ? undefined : await roomForCopy(roomFor(bytes), maxCopyMemory);
      return new CapturedMemory(memory, search, files, hasRoom ? room : undefined, made);
    } catch (error) {
      await closeAll(files);
      throw error;
    }
  }

  /** Bytes that the copy has room for. */
  get capacity(): number {
    return this.#copy?.capacity ?? 0;
  }

  /**
   * Copies the pages of a guest that stands still.
   * @param now its memory as it is now
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when the guest's blocks are others than before it was stopped; as
   *   `changedPages` and `ProcessCopy.copy`
   */
  async take(now: ProcessMemory): Promise<readonly TakenBlock[]> {
    const { pid, blocks } = this.#memory;
    assertUnchanged(this.#memory, now);
    const found = await findOwnPages(this.#memory, this.#search, this.#files);
    const runsOf = (index: number): ByteRuns => found[index] ?? new Float64Array();
    const wanted = blocks.map(({ address }, index) => ({ address, runs: runsOf(index) }));
    const left =
      this.#copy === undefined
        ? found
        : (await this.#copy.copy(pid, wanted, { unit: this.#search.pageSize })).left;
    return blocks.map(({ id, length, address, beneath }, index) => {
      const runs = runsOf(index);
      const missing = left[index] ?? new Float64Array();
      const { handle, isRead } = this.#files.get(id) ?? {};
      const isBeneath = beneath.kind === 'shared' || isRead === false;
      return {
        id,
        length,
        kind: beneath.kind,
        runs,
        left: missing,
        copied: withoutRuns(runs, missing),
        copy: this.#copy?.memory(index),
        process: { process: { pid, address, pages: 'all' } },
        file:
          handle === undefined || beneath.kind === 'anonymous' || !isBeneath
            ? undefined
            : { fd: handle.fd, offset: beneath.file.offset },
      };
    });
  }

  /** Gives the copy's memory back, unless it is the caller's. What `take` has brought must not be read any more. */
  dropCopy(): void {
    this.#made?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.dropCopy();
    } finally {
      await closeAll(this.#files);
    }
  }
}

function assertUnchanged(before: ProcessMemory, now: ProcessMemory): void {
  const isSame =
    now.pid === before.pid &&
    now.blocks.length === before.blocks.length &&
    now.blocks.every((block, index) => isSameBlock(block, before.blocks[index]));
  if (isSame) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_QEMU',
    'the blocks of the guest have changed between the beginning of the save and the stop: save it again',
    { expected: wordsOf(before), found: wordsOf(now) },
  );
}

function isSameBlock(now: ProcessMemoryBlock, before: ProcessMemoryBlock | undefined): boolean {
  return (
    now.id === before?.id &&
    now.length === before.length &&
    now.address === before.address &&
    isSameBeneath(now, before)
  );
}

function isSameBeneath(
  { beneath: now }: ProcessMemoryBlock,
  { beneath: before }: ProcessMemoryBlock,
): boolean {
  if (now.kind === 'anonymous' || before.kind === 'anonymous') return now.kind === before.kind;
  const [one, other] = [now.file, before.file];
  return (
    now.kind === before.kind &&
    one.ino === other.ino &&
    one.device === other.device &&
    one.offset === other.offset
  );
}

function wordsOf({ blocks }: ProcessMemory): string {
  return blocks.map(({ id, length }) => `${id} (${length} bytes)`).join(', ');
}

function unopened(id: string, { name }: FileBeneath): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `the file beneath block ${id} of QEMU's memory cannot be opened here`,
    { path: name },
  );
}

async function closeAll(files: ReadonlyMap<string, OpenFile>): Promise<void> {
  await Promise.all([...files.values()].map(({ handle }) => handle.close()));
}
