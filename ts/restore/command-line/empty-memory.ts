import { chmod, stat, truncate } from 'node:fs/promises';
import { resolve } from 'node:path';

import { StagedFile } from '../../engine/staged-file.ts';
import { MappedRamError } from '../../errors.ts';
import { ioError } from '../../io/fd-io.ts';

/** Bytes on the disk from which on a file may have data; some filesystems count a little for none. */
const LEAST_DATA = 4096;
/** Nobody has to write into the file, ever. */
const READ_ONLY = 0o444;

/**
 * Makes a file that reads as zeros, and takes no room, or takes one that is there. It appears under its name with its
 * size, so that guests that start at the same time may ask for the same one.
 *
 * @param size in bytes, at least
 * @returns the whole path
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when there is a file that has data, or is too small;
 *   ERR_MAPPED_RAM_UNSUPPORTED when the name belongs to something else than a regular file; ERR_MAPPED_RAM_IO
 */
export async function emptyMemory(path: string, size: number): Promise<string> {
  const whole = resolve(path);
  try {
    await using file = await StagedFile.create(whole);
    try {
      await truncate(file.path, size);
      await chmod(file.path, READ_ONLY);
    } catch (cause) {
      throw ioError('cannot make the empty file', whole, cause);
    }
    await file.publish();
  } catch (error) {
    if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_EXISTS') throw error;
    await assertEmpty(whole, size);
  }
  return whole;
}

async function assertEmpty(path: string, size: number): Promise<void> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw ioError('cannot look at the file', path, cause);
  });
  if (!stats.isFile()) {
    const words = 'the file for fresh memory';
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words, { path, expected: 'a regular file' });
  }
  const found = stats.blocks * 512;
  if (found >= LEAST_DATA) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the file for fresh memory has data', {
      path,
      expected: 'an empty file, or none',
      found: `${found} bytes on the disk`,
    });
  }
  if (stats.size < size) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the file for fresh memory is too small', {
      path,
      expected: `${size} bytes`,
      found: stats.size,
    });
  }
}
