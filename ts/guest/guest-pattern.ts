/** Odd, so that no two generations give a page the same word, nor two pages the same word in a generation. */
export const GENERATION_FACTOR = 0x9e3779b1;
export const PAGE_FACTOR = 0x85ebca6b;
/** One page in this many (a power of two) is zero; which ones moves by one page with every generation. */
export const ZERO_PERIOD = 8;

/**
 * The value of every 32-bit word of page `page` in generation `generation`. Generation 0 is memory that was never
 * written: all zero.
 */
export function guestPattern(generation: number, page: number): number {
  if (generation === 0 || ((generation + page) & (ZERO_PERIOD - 1)) === 0) return 0;
  return (Math.imul(generation, GENERATION_FACTOR) ^ Math.imul(page, PAGE_FACTOR)) >>> 0;
}
