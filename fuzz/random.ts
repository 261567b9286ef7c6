/** Seeded random numbers (mulberry32): the same seed gives the same run. */
export class Random {
  #state: number;

  /** @param seed 0 to 2^32-1 */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Returns an integer from 0 to 2^32-1. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** Returns an integer from 0 to `limit` - 1; 0 when `limit` is below 1. */
  below(limit: number): number {
    return Math.floor((this.u32() / 2 ** 32) * Math.max(1, limit));
  }

  /** Returns true once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** Returns a length of at least 1: mostly small, at times as large as `limit`. */
  length(limit: number): number {
    return 1 + this.below(Math.min(limit, 2 ** this.below(1 + Math.ceil(Math.log2(Math.max(2, limit))))));
  }

  pick<T>(list: readonly [T, ...T[]]): T {
    return list[this.below(list.length)] ?? list[0];
  }
}
