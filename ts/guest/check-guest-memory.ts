import { MappedRamError } from '../errors.ts';
import {
  GUEST_PAGE_SIZE,
  guestPageAddress,
  guestPattern,
  guestRegion,
  type GuestRegion,
  type GuestRegionOptions,
} from './guest-region.ts';
import { GUEST_ERROR, type GuestStatus, readGuestStatus, type ReadPhysical } from './guest-status.ts';

const WORDS_PER_PAGE = GUEST_PAGE_SIZE / 4;
/** Number of pages that makes calls to `read` cheap and still fits in the processor's cache. */
const PAGES_PER_READ = 256;

/** The progress of a guest. */
export interface GuestProgress {
  /** The generation being written, from 1. */
  readonly generation: number;
  /** Pages of that generation already written, 0 up to the region's number of pages. */
  readonly page: number;
}

/**
 * Verifies every word of a stopped guest's region against its status block: the pages before the page being written
 * carry the current generation, those behind it the one before, and that page itself a prefix of the current one.
 *
 * @param options the region the guest was built with
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT with the physical address, the expected and the found value of the
 *   first wrong word, or when the guest itself reported an error; ERR_MAPPED_RAM_BAD_MAGIC when the guest has not
 *   started; ERR_MAPPED_RAM_TRUNCATED when `read` returns too little
 */
export async function checkGuestMemory(
  read: ReadPhysical,
  options: GuestRegionOptions = {},
): Promise<GuestProgress> {
  const region = guestRegion(options);
  const status = await readGuestStatus(read);
  checkStatus(status, region);
  const step = region.slots === undefined ? PAGES_PER_READ : 1;
  for (let first = 0; first < region.pages; first += step) {
    const address = guestPageAddress(region, first);
    const length = Math.min(step, region.pages - first) * GUEST_PAGE_SIZE;
    const words = asWords(await read(address, length), address, length);
    for (let at = 0; at < words.length; at += WORDS_PER_PAGE) {
      checkPage(words, at, first + at / WORDS_PER_PAGE, status, region);
    }
  }
  return { generation: status.generation, page: status.page };
}

function checkStatus({ generation, page, error, badPage }: GuestStatus, region: GuestRegion): void {
  if (error === GUEST_ERROR.page) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `the guest found its page ${badPage} wrong`, {
      offset: guestPageAddress(region, badPage),
    });
  }
  if (error !== GUEST_ERROR.none) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the guest found its status block wrong', {
      found: error,
    });
  }
  if (generation === 0 || page > region.pages) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', "the guest's status block is impossible", {
      expected: `generation 1 or later, page 0..${region.pages}`,
      found: `generation ${generation}, page ${page}`,
    });
  }
}

function checkPage(
  words: Uint32Array,
  at: number,
  page: number,
  { generation, page: cursor }: GuestStatus,
  region: GuestRegion,
): void {
  const current = guestPattern(generation, page);
  const previous = guestPattern(generation - 1, page);
  const end = at + WORDS_PER_PAGE;
  let next = at;
  if (page <= cursor) while (next < end && words[next] === current) next += 1;
  if (page >= cursor) while (next < end && words[next] === previous) next += 1;
  if (next === end) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_CORRUPT',
    `page ${page} of the guest region is wrong in word ${next - at} (generation ${generation}, page ${cursor})`,
    {
      offset: guestPageAddress(region, page) + (next - at) * 4,
      expected: hex(page < cursor ? current : previous),
      found: hex(words[next] ?? 0),
    },
  );
}

function asWords(bytes: Uint8Array, address: number, length: number): Uint32Array {
  if (bytes.length !== length) {
    throw new MappedRamError('ERR_MAPPED_RAM_TRUNCATED', "the guest's memory cannot be read", {
      offset: address,
      expected: length,
      found: bytes.length,
    });
  }
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, length / 4);
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, '0')}`;
}
