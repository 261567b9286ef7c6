import { MappedRamError } from '../errors.ts';

/** Bytes in a page: x86 has no smaller ones, and the guest works page by page. */
export const GUEST_PAGE_SIZE = 4096;

const MIB = 1024 * 1024;
/** The boot sector, its stack, the status block and the firmware's areas lie below. */
const LOWEST_START = MIB;
/** Both `pc` and `q35` keep at least the first 2 GiB of memory in one piece. */
const HIGHEST_END = 2048 * MIB;

/** The part of the guest's physical memory that it keeps changing. */
export interface GuestRegionOptions {
  /** Physical address of the first byte, a multiple of 4096, at least 1 MiB. @default 16 MiB */
  readonly start?: number | undefined;
  /** Length in bytes, a positive multiple of 4096; the region must end at or below 2 GiB. @default 32 MiB */
  readonly length?: number | undefined;
}

export interface GuestRegion {
  readonly start: number;
  readonly length: number;
  readonly pages: number;
}

/**
 * Fills in the defaults and checks the bounds.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_ALIGNMENT when start or length is no multiple of 4096;
 *   ERR_MAPPED_RAM_OUT_OF_RANGE when the region is empty, starts below 1 MiB or ends above 2 GiB
 */
export function guestRegion({ start = 16 * MIB, length = 32 * MIB }: GuestRegionOptions = {}): GuestRegion {
  for (const [name, value] of [
    ['start', start],
    ['length', length],
  ] as const) {
    if (!Number.isSafeInteger(value) || value % GUEST_PAGE_SIZE !== 0) {
      throw new MappedRamError('ERR_MAPPED_RAM_ALIGNMENT', `the guest region's ${name} is not whole pages`, {
        expected: `a multiple of ${GUEST_PAGE_SIZE}`,
        found: value,
      });
    }
  }
  if (start < LOWEST_START || length <= 0 || start + length > HIGHEST_END) {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'the guest region does not fit', {
      expected: `at least one page within ${LOWEST_START}..${HIGHEST_END}`,
      found: `${start}..${start + length}`,
    });
  }
  return { start, length, pages: length / GUEST_PAGE_SIZE };
}

/**
 * Both factors are odd. So no two generations give a page the same word, and no two pages have the same word in a
 * generation.
 */
export const GENERATION_FACTOR = 0x9e3779b1;
export const PAGE_FACTOR = 0x85ebca6b;
/** One page in this many (a power of two) is zero; the zero pages move by one page with every generation. */
export const ZERO_PERIOD = 8;

/**
 * Returns the value of every 32-bit word of page `page` in generation `generation`. Generation 0 is memory that was
 * never written: all zero.
 */
export function guestPattern(generation: number, page: number): number {
  if (generation === 0 || ((generation + page) & (ZERO_PERIOD - 1)) === 0) return 0;
  return (Math.imul(generation, GENERATION_FACTOR) ^ Math.imul(page, PAGE_FACTOR)) >>> 0;
}
