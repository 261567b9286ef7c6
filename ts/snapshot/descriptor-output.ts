import { fstat } from 'node:fs';
import { promisify } from 'node:util';

import { MappedRamError } from '../errors.ts';
import { lockFile } from '../engine/file-lock.ts';
import { fdAccess } from '../host/fd-access.ts';
import { ioError, resize, sync, writeAt } from '../io/fd-io.ts';
import { kindOf } from '../io/file-kind.ts';
import type { LocalFile } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';

const statAsync = promisify(fstat);

/**
 * A snapshot that is written in place, into a descriptor of the caller's. Disposal cuts the file back to the bytes
 * before the snapshot, unless the snapshot is published.
 */
export class DescriptorOutput implements Output {
  readonly name: string;
  readonly offset: number;
  readonly file: LocalFile;
  readonly #fd: number;
  #isLocked = true;
  #isTouched = false;
  #isPublished = false;

  private constructor(fd: number, directFd: number | undefined, offset: number) {
    this.name = `descriptor ${fd}`;
    this.offset = offset;
    this.file = { name: this.name, fd, path: undefined, directFd };
    this.#fd = fd;
  }

  /**
   * Locks the file: guests may be running from it. A file that is replaced by name stays theirs.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for anything but a regular file; ERR_MAPPED_RAM_INVALID_ARGUMENT
   *   for a descriptor that does not write; ERR_MAPPED_RAM_IO; as `lockFile`
   */
  static async open(fd: number, directFd: number | undefined, offset: number): Promise<DescriptorOutput> {
    await assertWritable(fd);
    lockFile(fd, 'exclusive', `descriptor ${fd}`);
    return new DescriptorOutput(fd, directFd, offset);
  }

  /** Sets the size. The file's bytes behind the offset go first: clear pages must be holes. */
  async allocate(size: number): Promise<void> {
    if (!this.#isTouched) await resize(this.#fd, this.name, this.offset);
    this.#isTouched = true;
    await resize(this.#fd, this.name, size);
  }

  async writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    await writeAt(this.#fd, this.name, bytes, offset);
  }

  async finish(): Promise<void> {
    await sync(this.#fd, this.name);
  }

  async publish(): Promise<void> {
    this.#isPublished = true;
    this.#unlock();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The file is as it was until `allocate`. A failure here changes nothing: pages alone are no snapshot.
    if (this.#isTouched && !this.#isPublished)
      await resize(this.#fd, this.name, this.offset).catch(() => undefined);
    this.#unlock();
  }

  /** Lets readers in, once. */
  #unlock(): void {
    if (!this.#isLocked) return;
    this.#isLocked = false;
    try {
      lockFile(this.#fd, 'none', this.name);
    } catch {
      // The caller has closed it, and the lock went with it.
    }
  }
}

/** A descriptor that cannot be written, or cut to a size, shows that before the work. */
async function assertWritable(fd: number): Promise<void> {
  const path = `descriptor ${fd}`;
  const stats = await statAsync(fd).catch((cause: unknown) => {
    throw ioError('cannot write there', path, cause);
  });
  if (!stats.isFile()) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'cannot be cut to the size of a snapshot', {
      path,
      expected: 'a regular file',
      found: kindOf(stats),
    });
  }
  const access = await fdAccess('self', fd);
  if (access?.mode !== 'read') return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the descriptor does not write', {
    path,
    expected: 'one that is open for reading and writing',
    found: 'O_RDONLY',
  });
}
