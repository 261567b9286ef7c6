import { close, constants, fstat, open } from 'node:fs';
import { promisify } from 'node:util';

import { MappedRamError } from '../errors.ts';
import { truncated } from '../stream/reader.ts';
import { diskSize, ioError, readAt } from './fd-io.ts';
import { kindOf } from './file-kind.ts';
import { isInMemory, readMemory } from './memory-reads.ts';
import type { LocalFile, OpenSource } from './open-source.ts';

const openAsync = promisify(open);
const closeAsync = promisify(close);
const statAsync = promisify(fstat);

/** A regular file, or a disk, that is open for reading at offsets. */
export class FileReader implements OpenSource {
  readonly name: string;
  /** Size in bytes when the file was opened. */
  readonly size: number;
  /** Bytes that the filesystem has allocated for the file. */
  readonly allocated: number;
  readonly #fd: number;
  /** The path that was opened; undefined for a descriptor of the caller's. */
  readonly #path: string | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #isMemory: boolean;
  #closed = false;

  private constructor(
    name: string,
    fd: number,
    path: string | undefined,
    size: number,
    allocated: number,
    signal: AbortSignal | undefined,
  ) {
    this.#signal = signal;
    this.name = name;
    this.#fd = fd;
    this.#isMemory = isInMemory(fd);
    this.#path = path;
    this.size = size;
    this.allocated = allocated;
  }

  /**
   * @param signal ends the reading: every later `read` throws the signal's reason
   * @param name what errors call the file once it is open
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_UNSUPPORTED for anything but a regular
   *   file or a block device
   */
  static async open(path: string, signal?: AbortSignal, name: string = path): Promise<FileReader> {
    // Opening a fifo without O_NONBLOCK would wait for a writer.
    const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
    const fd = await openAsync(path, flags).catch((cause: unknown) => {
      throw ioError('cannot open the file', path, cause);
    });
    try {
      return await FileReader.#over(name, fd, path, signal);
    } catch (error) {
      await closeAsync(fd);
      throw error;
    }
  }

  /** Makes a reader over a descriptor that stays the caller's: `close` leaves it open. */
  static async over(fd: number, signal?: AbortSignal): Promise<FileReader> {
    return FileReader.#over(`descriptor ${fd}`, fd, undefined, signal);
  }

  static async #over(
    name: string,
    fd: number,
    path: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<FileReader> {
    const stats = await statAsync(fd).catch((cause: unknown) => {
      throw ioError('cannot read the size', name, cause);
    });
    if (stats.isBlockDevice()) {
      const size = await diskSize(fd, name);
      return new FileReader(name, fd, path, size, size, signal);
    }
    if (stats.isFile()) return new FileReader(name, fd, path, stats.size, stats.blocks * 512, signal);
    const found = kindOf(stats);
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'cannot be read at offsets', {
      path: name,
      expected: 'a regular file or a block device',
      found,
    });
  }

  /** The open file; its descriptor is valid until `close`. */
  get file(): LocalFile {
    this.#assertOpen();
    return { name: this.name, fd: this.#fd, path: this.#path };
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#assertOpen();
    // The check comes before the allocation: a lying length must not size it.
    if (offset + length > this.size) throw truncated(this.name, offset, length, this.size);
    const bytes = Buffer.allocUnsafe(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  /** Reads like `read`, into a buffer of the caller's. */
  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    this.#assertOpen();
    this.#signal?.throwIfAborted();
    const [fd, name] = [this.#fd, this.name];
    const found =
      (this.#isMemory ? readMemory(fd, name, bytes, offset) : undefined) ??
      (await readAt(fd, name, bytes, offset));
    if (found < bytes.length) throw this.#truncated(offset, bytes.length, found);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#path !== undefined) await closeAsync(this.#fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#closed)
      throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'the file is closed', { path: this.name });
  }

  #truncated(offset: number, length: number, found: number): MappedRamError {
    return truncated(this.name, offset, length, offset + found);
  }
}
