import { lockFile } from '../engine/file-lock.ts';
import { resize, sync, writeAt } from '../io/fd-io.ts';
import type { LocalFile } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';

/**
 * A snapshot that is written in place, into a descriptor of the caller's. Disposal cuts the file back to the bytes
 * before the snapshot, unless the snapshot is published.
 */
export class DescriptorOutput implements Output {
  readonly name: string;
  readonly offset: number;
  readonly file: LocalFile;
  readonly #fd: number;
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
   * @throws {MappedRamError} as `lockFile`
   */
  static open(fd: number, directFd: number | undefined, offset: number): DescriptorOutput {
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
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The file is as it was until `allocate`. A failure here changes nothing: pages alone are no snapshot.
    if (this.#isTouched && !this.#isPublished)
      await resize(this.#fd, this.name, this.offset).catch(() => undefined);
    try {
      lockFile(this.#fd, 'none', this.name);
    } catch {
      // The caller has closed it, and the lock went with it.
    }
  }
}
