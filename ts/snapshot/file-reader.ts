import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import type { RandomAccessReader } from '../stream/index.ts';

/** A regular file that is open for reading at offsets. */
export class FileReader implements RandomAccessReader, AsyncDisposable {
  readonly name: string;
  /** In bytes, when it was opened. */
  readonly size: number;
  /** Bytes that the filesystem has allocated for it. */
  readonly allocated: number;
  readonly #handle: FileHandle;
  #closed = false;

  private constructor(name: string, handle: FileHandle, size: number, allocated: number) {
    this.name = name;
    this.#handle = handle;
    this.size = size;
    this.allocated = allocated;
  }

  /** @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_UNSUPPORTED for what is no regular file */
  static async open(path: string): Promise<FileReader> {
    // Without O_NONBLOCK, opening a fifo would wait for a writer.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch(
      (cause: unknown) => {
        throw ioError('cannot open the file', path, cause);
      },
    );
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) {
        const found = stats.isDirectory() ? 'a directory' : 'something else';
        throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'cannot be read at offsets', {
          path,
          expected: 'a regular file',
          found,
        });
      }
      return new FileReader(path, handle, stats.size, stats.blocks * 512);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The descriptor, for the engine. Valid until `close`. */
  get fd(): number {
    this.#assertOpen();
    return this.#handle.fd;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#assertOpen();
    if (offset + length > this.size) throw this.#truncated(offset, length, Math.max(0, this.size - offset));
    const bytes = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#handle
        .read(bytes, done, length - done, offset + done)
        .catch((cause: unknown) => {
          throw ioError('cannot read the file', this.name, cause, offset + done);
        });
      if (bytesRead === 0) throw this.#truncated(offset, length, done);
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#closed)
      throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'the file is closed', { path: this.name });
  }

  #truncated(offset: number, length: number, found: number): MappedRamError {
    return new MappedRamError('ERR_MAPPED_RAM_TRUNCATED', 'the file ends too early', {
      path: this.name,
      offset,
      expected: `${length} bytes`,
      found: `${found} bytes`,
    });
  }
}

/** An error of node:fs as this package's error. */
export function ioError(message: string, path: string, cause: unknown, offset?: number): MappedRamError {
  const words = cause instanceof Error ? `${message} (${cause.message})` : message;
  return new MappedRamError('ERR_MAPPED_RAM_IO', words, { path, offset, cause });
}
