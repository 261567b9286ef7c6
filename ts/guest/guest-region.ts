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
  /**
   * Bytes over which the pages lie scattered, in an order that no readahead guesses: 4096 times a power of two, at least
   * `length`; the region then ends `span` bytes behind `start`. @default none: the pages lie in order, one after the other
   */
  readonly span?: number | undefined;
}

export interface GuestRegion {
  readonly start: number;
  readonly length: number;
  readonly pages: number;
  /** Pages among which those of the region lie scattered; undefined when they lie in order. */
  readonly slots: number | undefined;
}

/**
 * Fills in the defaults and checks the bounds.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_ALIGNMENT when start or length is no multiple of 4096, or span no power of two
 *   of pages; ERR_MAPPED_RAM_OUT_OF_RANGE when the region is empty, starts below 1 MiB, ends above 2 GiB, or its span is
 *   too short
 */
export function guestRegion(options: GuestRegionOptions = {}): GuestRegion {
  const { start = 16 * MIB, length = 32 * MIB, span = length } = options;
  for (const [name, value] of [
    ['start', start],
    ['length', length],
    ['span', span],
  ] as const) {
    if (!Number.isSafeInteger(value) || value % GUEST_PAGE_SIZE !== 0) {
      throw new MappedRamError('ERR_MAPPED_RAM_ALIGNMENT', `the guest region's ${name} is not whole pages`, {
        expected: `a multiple of ${GUEST_PAGE_SIZE}`,
        found: value,
      });
    }
  }
  if (start < LOWEST_START || length <= 0 || span < length || start + span > HIGHEST_END) {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'the guest region does not fit', {
      expected: `at least one page within ${LOWEST_START}..${HIGHEST_END}`,
      found: `${start}..${start + span}`,
    });
  }
  const region = { start, length, pages: length / GUEST_PAGE_SIZE };
  if (options.span === undefined) return { ...region, slots: undefined };
  const slots = span / GUEST_PAGE_SIZE;
  if (Number.isInteger(Math.log2(slots))) return { ...region, slots };
  throw new MappedRamError(
    'ERR_MAPPED_RAM_ALIGNMENT',
    "the guest region's span is no power of two of pages",
    {
      expected: `${GUEST_PAGE_SIZE} × 2^n`,
      found: span,
    },
  );
}

/** Returns the physical address of a page of the region. */
export function guestPageAddress({ start, slots }: GuestRegion, page: number): number {
  return start + (slots === undefined ? page : scattered(page, slots)) * GUEST_PAGE_SIZE;
}

/** Returns the bits by which the upper half of a slot's number is brought down, to mix it into the lower half. */
export function scatterShift(slots: number): number {
  return Math.max(1, Math.ceil(Math.log2(slots) / 2));
}

/** Each of the three steps maps the slots onto themselves, so that no two pages have the same one. */
function scattered(page: number, slots: number): number {
  const mask = slots - 1;
  const first = Math.imul(page, PAGE_FACTOR) & mask;
  return Math.imul(first ^ (first >>> scatterShift(slots)), GENERATION_FACTOR) & mask;
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
