import { access, constants } from 'node:fs/promises';
import { assertOptions, assertTexts } from '../io/assert-options.ts';
import { createMemoryFile } from '../engine/memory-file.ts';
import { countSetPages } from '../pages/bitmap-reader.ts';
import { blocksWithPages, regionOf } from '../pages/blocks.ts';
import { MappedRamError, messageOf, systemCode } from '../errors.ts';
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
const SHARED_MEMORY = '/dev/shm';
const NAME = 'mapped-ram-memory';
const ELSEWHERE = 'another directory can be named (ramDirectory, --ram-dir)';

export interface PreloadOptions extends TransferOptions {
  /** The blocks to load, by id. */
  readonly blocks: readonly string[];
  /**
   * Directory for the memory: on tmpfs, or a hugetlbfs mount. @default '/dev/shm', or no directory (memfd) where that
   * is missing or read-only
   */
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
  /** What may go wrong later, in words, and the place of the memory where it is not the usual one. */
  readonly warnings: readonly string[];
  readonly #files: ReadonlyMap<string, AnonymousFile>;

  /** @internal */
  constructor(
    files: ReadonlyMap<string, AnonymousFile>,
    report: TransferReport,
    warnings: readonly string[],
  ) {
    this.files = Object.fromEntries([...files].map(([id, file]) => [id, file.procPath]));
    this.report = report;
    this.warnings = warnings;
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
  const ram = snapshot.completeRam(true);
  const blocks = blocksWithPages(options.blocks, ram.blocks, snapshot.path);
  const { place, create, warnings } = await findPlace(options.directory);
  const shortage = await assertRoom(place, blocks, snapshot);
  const files = new Map<string, AnonymousFile>();
  try {
    for (const { id } of blocks) files.set(id, await create());
    const regions = blocks.map((block) =>
      regionOf(block, { memory: { fd: files.get(block.id)?.fd }, memoryIsZero: true }),
    );
    const plan = { direction: 'load', regions } as const;
    const { report } = await loadPages(snapshot.reader, plan, options);
    return new PreloadedRam(files, report, [...warnings, ...shortage]);
  } catch (error) {
    for (const file of files.values()) await file.close();
    if (!(error instanceof MappedRamError) || systemCode(error.cause) !== 'ENOSPC') throw error;
    throw new MappedRamError('ERR_MAPPED_RAM_IO', `no room for the memory in ${place}`, {
      path: place,
      cause: error.cause,
    });
  }
}

interface Place {
  /** The directory, or words for none. */
  readonly place: string;
  readonly create: () => Promise<AnonymousFile>;
  readonly warnings: readonly string[];
}

/**
 * Finds the place for the memory: the caller's directory, or /dev/shm. Where /dev/shm is missing or read-only, the
 * memory goes to files without any directory. A small /dev/shm is no such case: its size is the limit that somebody has
 * set.
 */
async function findPlace(directory: string | undefined): Promise<Place> {
  const place = directory ?? SHARED_MEMORY;
  try {
    await access(place, constants.W_OK | constants.X_OK);
    return { place, create: () => AnonymousFile.create(place, MEMORY_MODE), warnings: [] };
  } catch (cause) {
    if (directory === undefined) {
      const trial = await createMemoryFile(NAME).catch(() => undefined);
      await trial?.close();
      if (trial !== undefined) {
        const create = async (): Promise<AnonymousFile> =>
          new AnonymousFile(await createMemoryFile(NAME), 'memory');
        const why = `${SHARED_MEMORY} cannot be used (${messageOf(cause)}): the guest's memory is in files without a directory (memfd)`;
        return { place: 'memory', create, warnings: [why] };
      }
    }
    const words = `cannot keep memory there; ${ELSEWHERE}`;
    throw new MappedRamError('ERR_MAPPED_RAM_IO', words, { path: place, cause });
  }
}

/**
 * Refuses a directory that has too little room for the pages in the snapshot.
 * @returns a warning where the room is enough for these pages and not for all of the memory: the guest might be killed
 *   when it writes to its zero pages
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 * @internal
 */
export async function assertRoom(
  directory: string,
  blocks: readonly MappedRamBlock[],
  { reader }: Snapshot,
): Promise<readonly string[]> {
  const whole = blocks.reduce((sum, { length }) => sum + length, 0);
  const room = await freeBytesIn(directory);
  if (room >= whole) return [];
  let needed = 0;
  for (const block of blocks) needed += (await countSetPages(reader, block)) * block.area.pageSize;
  if (room >= needed) {
    return [
      `${directory} has ${room} bytes left and the guest's memory is ${whole}: it may be killed when it uses them`,
    ];
  }
  throw new MappedRamError('ERR_MAPPED_RAM_IO', `too little room for the memory; ${ELSEWHERE}`, {
    path: directory,
    expected: `${needed} bytes`,
    found: `${room} bytes`,
    cause: Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }),
  });
}
