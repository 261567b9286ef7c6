import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { lockFile } from '../engine/file-lock.ts';
import { MappedRamError } from '../errors.ts';
import { ioError } from '../io/fd-io.ts';
import { Scratch } from '../io/scratch.ts';

/** The folders' names tell whose they are: several benches may run at once. */
const PREFIX = 'mapped-ram-bench-';
/** The file in a folder that its maker holds a lock on for as long as it lives. */
export const OWNER = 'owner';
/** Attempts to make a folder that nobody takes for abandoned in the moment before it is locked. */
const ATTEMPTS = 10;

export function isFolderName(name: string): boolean {
  return /^mapped-ram-bench-\d+-\w{6}$/.test(name);
}

/**
 * A folder of a bench's own. It is gone after disposal, and when this process ends by `process.exit` or an uncaught
 * error. A killed process leaves it, and its lock does not outlive the process: so `removeAbandonedFolders` knows that
 * the folder is nobody's. A process id would not do: other containers and other hosts have ids of their own.
 */
export class OwnFolder implements AsyncDisposable {
  readonly #scratch: Scratch;
  readonly #lock: number;

  private constructor(scratch: Scratch, lock: number) {
    this.#scratch = scratch;
    this.#lock = lock;
  }

  /** @throws {MappedRamError} ERR_MAPPED_RAM_IO */
  static async create(base: string): Promise<OwnFolder> {
    for (let attempt = 1; ; attempt += 1) {
      const scratch = await Scratch.create(base, `${PREFIX}${process.pid}-`);
      try {
        const lock = possess(scratch.file(OWNER));
        if (lock !== undefined) return new OwnFolder(scratch, lock);
      } catch (error) {
        await scratch[Symbol.asyncDispose]();
        throw error;
      }
      await scratch[Symbol.asyncDispose]();
      if (attempt === ATTEMPTS) {
        throw new MappedRamError('ERR_MAPPED_RAM_IO', 'every new folder is removed by somebody else', {
          path: base,
        });
      }
    }
  }

  get path(): string {
    return this.#scratch.path;
  }

  file(name: string): string {
    return this.#scratch.file(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await removeContents(this.path);
      await this.#scratch[Symbol.asyncDispose]();
    } finally {
      closeSync(this.#lock);
    }
  }
}

/** Removes what a folder holds but for its mark: whoever is killed here leaves a folder that can still be judged. */
export async function removeContents(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name !== OWNER) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Makes the file and locks it. Undefined when somebody took the folder for abandoned in the moment before. */
function possess(path: string): number | undefined {
  const { O_CREAT, O_EXCL, O_RDWR } = constants;
  let fd: number | undefined;
  try {
    fd = openSync(path, O_CREAT | O_EXCL | O_RDWR, 0o600);
    // A filesystem without locks lets nobody take the folder for abandoned either.
    lockFile(fd, 'shared', path);
    if (fstatSync(fd).nlink > 0) return fd;
  } catch (error) {
    const isTaken = error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_BUSY';
    if (!isTaken) {
      if (fd !== undefined) closeSync(fd);
      throw error instanceof MappedRamError ? error : ioError('cannot make a file here', path, error);
    }
  }
  if (fd !== undefined) closeSync(fd);
  return undefined;
}
