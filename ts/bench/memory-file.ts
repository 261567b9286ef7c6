import { open } from 'node:fs/promises';

import { ioError } from '../io/fd-io.ts';
import type { MemoryPattern } from './figures.ts';
import { dataRuns, randomWords } from './patterns.ts';

const PAGE = 4096;
/** Pages of random bytes that all data is made of, and the most that one write has: 4 MiB. */
const PIECE_PAGES = 1024;
const SEED = 0x62656e63;
/** 2^32 divided by the golden ratio. */
const ODD = 0x9e3779b1;

/**
 * Makes a memory file with a pattern. Zero pages are holes; every page of data begins with a word of its own, so that
 * no two are alike.
 *
 * @param size bytes: a multiple of the page size
 * @returns the bytes of data
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; the signal's reason
 */
export async function makeMemoryFile(
  path: string,
  pattern: MemoryPattern,
  size: number,
  signal: AbortSignal,
): Promise<number> {
  const failed = (cause: unknown): never => {
    throw ioError('cannot make the memory file', path, cause);
  };
  await using handle = await open(path, 'wx').catch(failed);
  await handle.truncate(size).catch(failed);
  const random = randomPiece();
  let dataPages = 0;
  for (const { first, count } of dataRuns(pattern, size / PAGE)) {
    for (let done = 0; done < count; done += PIECE_PAGES) {
      signal.throwIfAborted();
      const pages = Math.min(PIECE_PAGES, count - done);
      await handle
        .write(stamped(random, first + done, pages), 0, pages * PAGE, (first + done) * PAGE)
        .catch(failed);
    }
    dataPages += count;
  }
  return dataPages * PAGE;
}

function randomPiece(): Buffer {
  const next = randomWords(SEED);
  const words = Uint32Array.from({ length: (PIECE_PAGES * PAGE) / 4 }, next);
  return Buffer.from(words.buffer);
}

/** Begins each of the first pages of `random` with a word that no other page has, and returns these pages. */
function stamped(random: Buffer, first: number, pages: number): Buffer {
  for (let index = 0; index < pages; index += 1) {
    // The product of an odd number and different numbers is different in 32 bits, too, and not 0.
    random.writeInt32LE(Math.imul(first + index + 1, ODD), index * PAGE);
  }
  return random.subarray(0, pages * PAGE);
}
