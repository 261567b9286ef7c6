import { type FileHandle, open } from 'node:fs/promises';

import { lockFile } from '../engine/file-lock.ts';
import { type FileIdentity, identityOf, isSameFile } from '../host/file-identity.ts';

/** The place of a block's memory. A buffer has neither. */
interface Place {
  readonly path?: string | undefined;
  readonly fd?: number | undefined;
}

interface Held {
  readonly identity: FileIdentity;
  /** The descriptor that has the lock. */
  readonly fd: number;
  readonly name: string;
  /** The file as this object has opened it; undefined for a descriptor of the caller's. */
  readonly handle: FileHandle | undefined;
}

/**
 * Files that are written in place, locked for as long as this object lives: any of them may be a snapshot that guests
 * run from, whatever it is taken for.
 */
export class HeldFiles implements AsyncDisposable {
  readonly #held: Held[] = [];

  /**
   * Locks a file, once for all places in it. A file that cannot be opened is left to the one who writes it, and so is
   * a file on a filesystem without locks.
   * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY when guests run from it; ERR_MAPPED_RAM_IO
   */
  async hold({ path, fd: given }: Place): Promise<void> {
    const handle = path === undefined ? undefined : await open(path, 'r+').catch(() => undefined);
    const fd = handle?.fd ?? given;
    const identity = fd === undefined ? undefined : identityOf(fd);
    if (fd === undefined || identity === undefined || this.#has(identity)) return handle?.close();
    const name = path ?? `descriptor ${fd}`;
    try {
      lockFile(fd, 'exclusive', name);
      this.#held.push({ identity, fd, name, handle });
    } catch (error) {
      await handle?.close();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { fd, name, handle } of this.#held) {
      try {
        if (handle === undefined) lockFile(fd, 'none', name);
        else await handle.close();
      } catch {
        // The caller has closed the descriptor, and the lock went with it.
      }
    }
  }

  #has(identity: FileIdentity): boolean {
    return this.#held.some((held) => isSameFile(held.identity, identity));
  }
}
