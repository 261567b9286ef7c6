import { open } from 'node:fs/promises';

import { ioError } from '../io/fd-io.ts';
import type { MemoryPattern } from './figures.ts';
import { dataRuns, randomWords, zerosAreWritten } from './patterns.ts';

const PAGE = 4096;
/** Pages of random bytes that all data is made of, and the most that one write has: 4 MiB. */
const PIECE_PAGES = 1024;
const SEED = 0x62656e63;
/** 2^32 divided by the golden ratio. */
const ODD = 0x9e3779b1;

/**
 * Makes a memory file with a pattern. Zero pages are written, or holes, as the pattern has it; every page of data begins
 * with a word of its own, so that no two are alike.
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
  const [random, zeros] = [randomPiece(), Buffer.alloc(PIECE_PAGES * PAGE)];
  const put = async (first: number, count: number, piece: (first: number) => Buffer): Promise<void> => {
    for (let done = 0; done < count; done += PIECE_PAGES) {
      signal.throwIfAborted();
      const pages = Math.min(PIECE_PAGES, count - done);
      await handle.write(piece(first + done), 0, pages * PAGE, (first + done) * PAGE).catch(failed);
    }
  };
  const putZeros = async (first: number, end: number): Promise<void> => {
    if (zerosAreWritten(pattern)) await put(first, end - first, () => zeros);
  };
  let [dataPages, end] = [0, 0];
  for (const { first, count } of dataRuns(pattern, size / PAGE)) {
    await putZeros(end, first);
    await put(first, count, (at) => stamped(random, at));
    dataPages += count;
    end = first + count;
  }
  await putZeros(end, size / PAGE);
  return dataPages * PAGE;
}

function randomPiece(): Buffer {
  const next = randomWords(SEED);
  const words = Uint32Array.from({ length: (PIECE_PAGES * PAGE) / 4 }, next);
  return Buffer.from(words.buffer);
}

/** Begins each page of `random` with a word that no other page has, by its number. */
function stamped(random: Buffer, first: number): Buffer {
  for (let index = 0; index < PIECE_PAGES; index += 1) {
    // The product of an odd number and different numbers is different in 32 bits, too, and not 0.
    random.writeInt32LE(Math.imul(first + index + 1, ODD), index * PAGE);
  }
  return random;
}
