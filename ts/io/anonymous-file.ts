import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

import { MappedRamError } from '../errors.ts';

/**
 * Linux's O_TMPFILE, which Node does not name: the file never has a name. Some filesystems (hugetlbfs, old ones) have
 * no such files.
 */
const NAMELESS = 0o20000000 | (constants.O_DIRECTORY ?? 0) | constants.O_RDWR;
/** Mode 0600: the file holds a guest's memory. */
const MODE = 0o600;

/**
 * A file without a name. It is gone when the last process that has it open or mapped ends, whichever way. It works on
 * tmpfs, hugetlbfs and disks alike. Other processes of the same user open it as `procPath`.
 */
export class AnonymousFile implements AsyncDisposable {
  /** The place of the file in words: its directory, or `memory`. */
  readonly place: string;
  readonly #handle: FileHandle;

  /** @param handle the open file, which belongs to this object from now on */
  constructor(handle: FileHandle, place: string) {
    this.#handle = handle;
    this.place = place;
  }

  /**
   * Makes the file on the filesystem of a directory.
   * @param mode the permissions once the file has no name: for processes that have a descriptor of it already
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_UNSUPPORTED where there is no /proc
   */
  static async create(directory: string, mode: number = MODE): Promise<AnonymousFile> {
    if (process.platform !== 'linux') {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_UNSUPPORTED',
        'memory and state are handed to QEMU through /proc',
        {
          expected: 'Linux, or mode eager',
          found: process.platform,
        },
      );
    }
    let handle: FileHandle | undefined;
    try {
      handle = await open(directory, NAMELESS, MODE).catch(() => undefined);
      if (handle === undefined) {
        const path = join(directory, `.mapped-ram-${randomUUID()}`);
        handle = await open(path, 'wx+', MODE);
        await unlink(path);
      }
      if (mode !== MODE) await handle.chmod(mode);
      return new AnonymousFile(handle, directory);
    } catch (cause) {
      await handle?.close();
      throw new MappedRamError('ERR_MAPPED_RAM_IO', 'cannot make a temporary file', {
        path: directory,
        cause,
      });
    }
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** The path under which other processes open the file; valid until `close`. */
  get procPath(): string {
    return procPath(this.fd);
  }

  /** Closes this process's descriptor; another process that has the file open keeps it. May be called again. */
  async close(): Promise<void> {
    if (this.#handle.fd !== -1) await this.#handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The path under which other processes of the same user open the file of a descriptor of this process. Linux only. */
export function procPath(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`;
}
