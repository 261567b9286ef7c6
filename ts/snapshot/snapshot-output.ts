import { open, stat, type FileHandle } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import { removeSeal, sealPathOf } from '../seal/seal-file.ts';
import type { TransferFile } from '../engine/transfer.ts';
import { removeAbandonedFiles, StagedFile } from '../engine/staged-file.ts';
import { ioError, resize, sync } from '../io/fd-io.ts';
import { byteCount } from '../io/byte-count.ts';
import { lockFile } from '../engine/file-lock.ts';
import { snapshotPath } from './snapshot-path.ts';

/**
 * Where a snapshot goes: a `file:` migration URI (with `,offset=`), a path or a URL; or descriptors of one file, both
 * open for writing, the second with O_DIRECT. Descriptors stay the caller's; `offset` is where the stream starts.
 */
export type SnapshotTarget =
  | string
  | URL
  | {
      readonly fd: number;
      readonly directFd?: number | undefined;
      readonly offset?: number | bigint | undefined;
    };

/**
 * The file that a snapshot is written to. By name: written beside it, and given the name by `commit`. By descriptor:
 * written in place; without `commit` it is cut back to what lies before the snapshot.
 */
export class SnapshotOutput implements AsyncDisposable {
  /** As errors call it. */
  readonly name: string;
  /** Where the stream starts. */
  readonly offset: number;
  /** For headers and device state. */
  readonly fd: number;
  /** For the engine. */
  readonly file: TransferFile;
  readonly #staged: StagedFile | undefined;
  readonly #handle: FileHandle | undefined;
  #touched = false;
  #committed = false;

  private constructor(
    file: TransferFile,
    offset: number,
    fd: number,
    staged?: StagedFile,
    handle?: FileHandle,
  ) {
    this.name = file.name;
    this.file = file;
    this.offset = offset;
    this.fd = fd;
    this.#staged = staged;
    this.#handle = handle;
  }

  /**
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS; ERR_MAPPED_RAM_BUSY for a descriptor's file that guests run from;
   *   ERR_MAPPED_RAM_IO; as `snapshotPath`
   */
  static async create(
    target: SnapshotTarget,
    overwrite: boolean,
    signal?: AbortSignal,
  ): Promise<SnapshotOutput> {
    if (typeof target !== 'string' && !(target instanceof URL)) {
      const { fd, directFd } = target;
      const offset = byteCount('offset of the snapshot', target.offset ?? 0);
      // Guests may be running from it. A file that is replaced by name stays theirs.
      lockFile(fd, 'exclusive', `descriptor ${fd}`);
      return new SnapshotOutput({ fd, directFd, name: `descriptor ${fd}` }, offset, fd);
    }
    const { filename, offset } = snapshotPath(target);
    return SnapshotOutput.named(filename, offset, overwrite, signal);
  }

  /**
   * By name. What killed predecessors have left beside it goes: there is to be room.
   * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_IO
   */
  static async named(
    path: string,
    offset: number,
    overwrite: boolean,
    signal?: AbortSignal,
  ): Promise<SnapshotOutput> {
    await removeAbandonedFiles(path);
    const staged = await StagedFile.create(path, {
      keep: offset,
      overwrite: overwrite || (await endsBefore(path, offset)),
      signal,
    });
    try {
      const handle = await open(staged.path, 'r+');
      return new SnapshotOutput({ path: staged.path, name: path }, offset, handle.fd, staged, handle);
    } catch (cause) {
      staged.discard();
      throw ioError('cannot open the new file', path, cause);
    }
  }

  /**
   * Gives the file its full size before the first page. Extending writes would take the inode's lock one after the
   * other. What a descriptor's file held behind the offset goes first: clear pages must be holes.
   */
  async allocate(size: number): Promise<void> {
    this.#touched = true;
    if (this.#staged === undefined) await resize(this.fd, this.name, this.offset);
    await resize(this.fd, this.name, size);
  }

  /** Makes the snapshot durable and, by name, visible. The seal of what it replaces by name goes. */
  async commit(): Promise<void> {
    if (this.#staged === undefined) {
      await sync(this.fd, this.name);
    } else {
      await this.#staged.sync();
      await removeSeal(sealPathOf(this.name));
      await this.#staged.publish();
    }
    this.#committed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close();
    if (this.#staged !== undefined) {
      if (!this.#committed) this.#staged.discard();
      return;
    }
    // Before `allocate` the file is as it was. A failure here changes nothing: pages alone are no snapshot.
    if (this.#touched && !this.#committed)
      await resize(this.fd, this.name, this.offset).catch(() => undefined);
    unlock(this.fd, this.name);
  }
}

function unlock(fd: number, name: string): void {
  try {
    lockFile(fd, 'none', name);
  } catch {
    // The caller has closed it, and the lock went with it.
  }
}

/**
 * Sees to it that a snapshot may get this name, as `SnapshotOutput.named` does; makes nothing.
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS
 */
export async function assertFree(path: string, offset: number): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || (await endsBefore(path, offset))) return;
  throw new MappedRamError('ERR_MAPPED_RAM_EXISTS', 'the file exists already', { path });
}

/** Nothing is lost of a file that ends where the stream is to start: the container whose first bytes are kept. */
async function endsBefore(path: string, offset: number): Promise<boolean> {
  if (offset === 0) return false;
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
  return size <= offset;
}
