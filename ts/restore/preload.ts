import { access, constants } from 'node:fs/promises';
import { assertOptions, assertTexts } from '../io/assert-options.ts';
import { blocksWithPages, regionOf } from '../pages/blocks.ts';
import { MappedRamError } from '../errors.ts';
import { freeBytesIn } from '../host/filesystem.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import { loadPages } from '../pages/load-pages.ts';
import { AnonymousFile } from '../io/anonymous-file.ts';

/**
 * QEMU may run as another user, and opens the file behind the descriptor that it has inherited. The file has no name:
 * nobody else finds it, except by the descriptors of this process and of QEMU.
 */
const MEMORY_MODE = 0o666;

export interface PreloadOptions extends TransferOptions {
  /** The blocks to load, by id. */
  readonly blocks: readonly string[];
  /** Directory for the memory: on tmpfs, or a hugetlbfs mount. @default '/dev/shm' */
  readonly directory?: string | undefined;
}

/**
 * Memory of blocks in files without names. Nothing of it is left when this object and the QEMUs that map the files are
 * gone, whichever way they end. Close it when QEMU answers on QMP: QEMU has the files mapped then.
 */
export class PreloadedRam implements AsyncDisposable {
  /** The file in which QEMU finds the memory of each block, by block id: for `launchArguments`. */
  readonly files: Readonly<Record<string, string>>;
  readonly report: TransferReport;
  readonly #files: ReadonlyMap<string, AnonymousFile>;

  /** @internal */
  constructor(files: ReadonlyMap<string, AnonymousFile>, report: TransferReport) {
    this.files = Object.fromEntries([...files].map(([id, file]) => [id, file.procPath]));
    this.report = report;
    this.#files = files;
  }

  /** The descriptors of the files, by block id, in the order of the blocks. @internal */
  get descriptors(): ReadonlyMap<string, number> {
    return new Map([...this.#files].map(([id, { fd }]) => [id, fd]));
  }

  /** Closes the files. May be called again. */
  async close(): Promise<void> {
    for (const file of this.#files.values()) await file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Loads the memory of blocks out of a snapshot with this package's engine.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, also when the directory has too little room for the pages in the snapshot
 *   (`cause.code` is `ENOSPC`); ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that the snapshot does not have,
 *   ERR_MAPPED_RAM_UNSUPPORTED for one without pages; and as `unpack`
 */
export async function preloadRam(
  source: SnapshotSource | Snapshot,
  options: PreloadOptions,
): Promise<PreloadedRam> {
  assertOptions(options);
  assertTexts('blocks', options.blocks);
  return usingSnapshot(source, options.signal, (snapshot) => loadBlocks(snapshot, options));
}

async function loadBlocks(snapshot: Snapshot, options: PreloadOptions): Promise<PreloadedRam> {
  const { directory = '/dev/shm' } = options;
  const ram = snapshot.completeRam(true);
  const blocks = blocksWithPages(options.blocks, ram.blocks, snapshot.path);
  await assertDirectory(directory);
  const files = new Map<string, AnonymousFile>();
  try {
    for (const { id } of blocks) files.set(id, await AnonymousFile.create(directory, MEMORY_MODE));
    const regions = blocks.map((block) =>
      regionOf(block, { memory: { fd: files.get(block.id)?.fd }, memoryIsZero: true }),
    );
    const plan = { direction: 'load', regions } as const;
    const { report } = await loadPages(snapshot.reader, plan, options);
    return new PreloadedRam(files, report);
  } catch (error) {
    for (const file of files.values()) await file.close();
    throw error;
  }
}

/**
 * Says in words when a directory has too little room for all of the memory. The guest might then be killed when it
 * writes to its zero pages.
 */
export async function roomProblem(
  directory: string,
  blocks: readonly MappedRamBlock[],
): Promise<string | undefined> {
  const wanted = blocks.reduce((sum, { length }) => sum + length, 0);
  const room = await freeBytesIn(directory);
  return room >= wanted
    ? undefined
    : `${directory} has ${room} bytes left and the guest's memory is ${wanted}: it may be killed when it uses them`;
}

async function assertDirectory(directory: string): Promise<void> {
  await access(directory, constants.W_OK).catch((cause: unknown) => {
    throw new MappedRamError('ERR_MAPPED_RAM_IO', 'cannot keep memory there', { path: directory, cause });
  });
}
