import { fstat, fsync, ftruncate, read, write } from 'node:fs';
import { promisify } from 'node:util';

import { MappedRamError } from '../errors.ts';

const readAsync = promisify(read);
const writeAsync = promisify(write);
const truncateAsync = promisify(ftruncate);
const syncAsync = promisify(fsync);
const statAsync = promisify(fstat);

/** Reads until `bytes` is full or the file ends; returns the number of bytes read. */
export async function readAt(fd: number, path: string, bytes: Uint8Array, offset: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesRead } = await readAsync(fd, bytes, done, bytes.length - done, offset + done).catch(
      (cause: unknown) => {
        throw ioError('cannot read the file', path, cause, offset + done);
      },
    );
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** Writes all of `bytes`. */
export async function writeAt(fd: number, path: string, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await writeAsync(fd, bytes, done, bytes.length - done, offset + done).catch(
      (cause: unknown) => {
        throw ioError('cannot write the file', path, cause, offset + done);
      },
    );
    done += bytesWritten;
  }
}

/** The file's size in bytes. */
export async function fileSize(fd: number, path: string): Promise<number> {
  const stats = await statAsync(fd).catch((cause: unknown) => {
    throw ioError('cannot read the size', path, cause);
  });
  return stats.size;
}

/**
 * The size of a block device in bytes, which its stats do not have: the search for its end reads a byte here and there.
 */
export async function diskSize(fd: number, path: string): Promise<number> {
  const byte = new Uint8Array(1);
  const hasByteAt = async (offset: number): Promise<boolean> =>
    offset < Number.MAX_SAFE_INTEGER && (await readAt(fd, path, byte, offset)) > 0;
  let end = 1;
  while (await hasByteAt(end * 2 - 1)) end *= 2;
  // The size is at least `end` and less than twice that, or 0.
  if (end === 1) return (await hasByteAt(0)) ? 1 : 0;
  for (let step = end / 2; step >= 1; step /= 2) {
    if (await hasByteAt(end + step - 1)) end += step;
  }
  return end;
}

/** Sets the file's size, in bytes. */
export async function resize(fd: number, path: string, size: number): Promise<void> {
  await truncateAsync(fd, size).catch((cause: unknown) => {
    throw resizeError(size, path, cause);
  });
}

/** The error of a file that does not take a size, in bytes. */
export function resizeError(size: number, path: string, cause: unknown): MappedRamError {
  return ioError(`cannot make the file ${size} bytes long`, path, cause);
}

/** Makes the file's contents durable. */
export async function sync(fd: number, path: string): Promise<void> {
  await syncAsync(fd).catch((cause: unknown) => {
    throw ioError('fsync of the file', path, cause);
  });
}

/** An error of node:fs as this package's error. */
export function ioError(message: string, path: string, cause: unknown, offset?: number): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_IO', message, { path, offset, cause });
}
