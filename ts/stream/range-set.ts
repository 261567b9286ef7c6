/** Disjoint stretches of a file, kept in order. */
export class RangeSet {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** Adds `start..end` unless it overlaps an earlier stretch. Empty stretches never do. */
  add(start: number, end: number): boolean {
    if (end <= start) return true;
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0) <= start) low = middle + 1;
      else high = middle;
    }
    const next = this.#starts[low];
    if (next !== undefined && next < end) return false;
    this.#starts.splice(low, 0, start);
    this.#ends.splice(low, 0, end);
    return true;
  }
}
