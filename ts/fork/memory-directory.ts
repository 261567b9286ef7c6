import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { lockFile } from '../engine/file-lock.ts';
import { MappedRamError, systemCode } from '../errors.ts';
import { filesystemOf } from '../host/filesystem.ts';

/** The beginning of the names of these directories; only the user's own are looked at. */
const PREFIX = 'mapped-ram-fork-';
/** Filesystems whose files never go to a disk, unless the host swaps. */
const IN_MEMORY: ReadonlySet<string | undefined> = new Set(['tmpfs', 'ramfs', 'hugetlbfs']);

/**
 * A directory in memory for the short time in which a fork's memory needs a name. The lock on it says that its process
 * lives: directories that killed processes have left are removed by the next fork of the same user.
 */
export class MemoryDirectory implements AsyncDisposable {
  readonly path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /**
   * @param parent a directory on tmpfs
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a directory that is not in memory; ERR_MAPPED_RAM_IO
   */
  static async create(parent: string): Promise<MemoryDirectory> {
    await assertInMemory(parent);
    await removeAbandoned(parent);
    // Nobody takes it for an abandoned one before it is locked.
    const [fresh, path] = [join(parent, `.${PREFIX}${randomUUID()}`), join(parent, PREFIX + randomUUID())];
    let handle: FileHandle | undefined;
    try {
      await mkdir(fresh, { mode: 0o700 });
      handle = await open(fresh, 'r');
      lockFile(handle.fd, 'exclusive', fresh);
      await rename(fresh, path);
      return new MemoryDirectory(path, handle);
    } catch (cause) {
      await handle?.close();
      await rm(fresh, { recursive: true, force: true });
      throw new MappedRamError('ERR_MAPPED_RAM_IO', 'cannot make a directory for the memory of a fork', {
        path: parent,
        cause,
      });
    }
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Removes the directory and everything in it. What is open stays until it is closed. May be called again. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    if (this.#handle.fd !== -1) await this.#handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }
}

async function assertInMemory(parent: string): Promise<void> {
  const found = await filesystemOf(parent);
  if (IN_MEMORY.has(found?.type)) return;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'the memory of a fork goes to no disk', {
    path: parent,
    expected: 'a directory on tmpfs (directory, --directory)',
    found: found === undefined ? 'no directory' : found.type,
  });
}

/** Removes the directories whose processes are gone. One that is in use, or of somebody else, stays. */
async function removeAbandoned(parent: string): Promise<void> {
  const names = await readdir(parent).catch((): readonly string[] => []);
  for (const name of names) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(parent, name);
    const handle = await open(path, 'r').catch(() => undefined);
    if (handle === undefined) continue;
    try {
      lockFile(handle.fd, 'exclusive', path);
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      // It is in use, or somebody else has removed it meanwhile. The fork does without the room.
      if (!(error instanceof MappedRamError) && systemCode(error) === undefined) throw error;
    } finally {
      await handle.close();
    }
  }
}
