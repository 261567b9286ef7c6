import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';

import { ioError } from '../io/fd-io.ts';

const PAGE = 4096;
const PIECE_PAGES = 2048;
/** Largest number of pages in a run: data and zero pages come in runs, as in a real guest. */
const LONGEST_RUN = 1024;

/**
 * Makes a memory file of random data and zero pages, two to one, in runs of all lengths. No two pages are alike, so
 * that a page in the wrong place is found. Zero pages are holes.
 *
 * @param from offset of the contents' start, in bytes; everything before stays a hole
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; the signal's reason
 */
export async function fillMemory(
  path: string,
  size: number,
  from: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const random = randomFillSync(Buffer.allocUnsafe(PIECE_PAGES * PAGE));
  const handle = await open(path, 'wx').catch((cause: unknown) => {
    throw ioError('cannot make the memory file', path, cause);
  });
  try {
    await handle.truncate(size);
    let page = Math.ceil(from / PAGE);
    while (page < size / PAGE) {
      signal?.throwIfAborted();
      const run = 1 + (random.readUInt16LE((page % PIECE_PAGES) * PAGE) % LONGEST_RUN);
      const pages = Math.min(run, size / PAGE - page);
      await handle.write(stamped(random, page, pages), 0, pages * PAGE, page * PAGE);
      page += pages + Math.ceil(run / 2);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw ioError('cannot fill the memory file', path, error);
  } finally {
    await handle.close();
  }
}

/** Writes the pages' numbers into the first pages of `random`, and returns those pages. */
function stamped(random: Buffer, page: number, pages: number): Buffer {
  for (let index = 0; index < pages; index += 1) random.writeUInt32LE(page + index, index * PAGE + 8);
  return random.subarray(0, pages * PAGE);
}
