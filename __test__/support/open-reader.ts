import { open, type FileHandle } from 'node:fs/promises';

import type { RandomAccessReader } from '../../ts/stream/index.ts';

/** A file as the stream code reads it. `await using file = await OpenFile.open(path)`. */
export class OpenFile implements RandomAccessReader, AsyncDisposable {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, name: string, size: number) {
    this.#handle = handle;
    this.name = name;
    this.size = size;
  }

  static async open(path: string): Promise<OpenFile> {
    const handle = await open(path);
    return new OpenFile(handle, path, (await handle.stat()).size);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { bytesRead, buffer } = await this.#handle.read(new Uint8Array(length), 0, length, offset);
    if (bytesRead !== length) throw new RangeError(`read(${offset}, ${length}) gave ${bytesRead} bytes`);
    return buffer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
