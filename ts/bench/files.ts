import { writeFile } from 'node:fs/promises';

import { ioError } from '../io/fd-io.ts';
import { pack } from '../pack/pack.ts';
import { syntheticState } from '../guest/synthetic-state.ts';
import type { BenchFiles } from './contender.ts';
import type { MemoryPattern } from './figures.ts';
import { makeMemoryFile } from './memory-file.ts';
import { OwnFolder } from './own-folder.ts';

const BLOCK = 'pc.ram';

export interface BenchFilesOptions {
  readonly pattern: MemoryPattern;
  /** Bytes of guest memory: a multiple of 1 MiB. */
  readonly size: number;
  /** The directory to be measured; a folder is made in it. */
  readonly directory: string;
  /** A directory in memory; a folder is made in it. */
  readonly memoryDirectory: string;
  readonly signal: AbortSignal;
}

/** The files of a pattern, which are gone when this is disposed of. */
export interface OwnBenchFiles extends BenchFiles, AsyncDisposable {}

/**
 * Makes the files of a pattern. After an error or an abort nothing is left.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, and what `pack` throws; the signal's reason
 */
export async function makeBenchFiles(options: BenchFilesOptions): Promise<OwnBenchFiles> {
  const { directory, memoryDirectory } = options;
  const disk = await OwnFolder.create(directory);
  let shared: OwnFolder | undefined;
  const remove = async (): Promise<void> => {
    await shared?.[Symbol.asyncDispose]();
    await disk[Symbol.asyncDispose]();
  };
  try {
    shared = await OwnFolder.create(memoryDirectory);
    return { ...(await fill(disk, shared, options)), [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function fill(
  disk: OwnFolder,
  shared: OwnFolder,
  { pattern, size, signal }: BenchFilesOptions,
): Promise<BenchFiles> {
  const memory = shared.file('guest.ram');
  const [state, snapshot] = [disk.file('device.state'), disk.file('guest.mr')];
  const dataBytes = await makeMemoryFile(memory, pattern, size, signal);
  await writeFile(state, syntheticState(BLOCK, size)).catch((cause: unknown) => {
    throw ioError('cannot write the device state', state, cause);
  });
  await pack(snapshot, { state, ram: { [BLOCK]: memory }, signal });
  return {
    pattern,
    size,
    dataBytes,
    directory: disk.path,
    memoryDirectory: shared.path,
    memory,
    block: BLOCK,
    state,
    snapshot,
  };
}
