/**
 * Runs of bytes in a block, ascending and apart: offset and length of each in turn. The engine's form of a set of pages.
 */
export type ByteRuns = Float64Array;

/** The bytes that are in runs. */
export function bytesInRuns(runs: ByteRuns): number {
  let sum = 0;
  for (let index = 1; index < runs.length; index += 2) sum += runs[index] ?? 0;
  return sum;
}

/**
 * The runs that are in the first set and not in the second.
 * @returns the first set itself when it has nothing of the second
 */
export function withoutRuns(runs: ByteRuns, others: ByteRuns): ByteRuns {
  let next = firstInside(runs, others);
  if (next === others.length) return runs;
  // Each run of the other set splits one run at the most.
  const left = new Float64Array(runs.length + others.length);
  let length = 0;
  for (let at = 0; at < runs.length; at += 2) {
    const end = endAt(runs, at);
    let reached = runs[at] ?? 0;
    // Runs of the other set that end before this one starts matter to none that follows.
    while (next < others.length && endAt(others, next) <= reached) next += 2;
    while (next < others.length && (others[next] ?? 0) < end) {
      length = add(left, length, reached, others[next] ?? 0);
      reached = endAt(others, next);
      // A run that goes on behind this one may matter to the next.
      if (reached > end) break;
      next += 2;
    }
    length = add(left, length, reached, end);
  }
  return left.slice(0, length);
}

/** The first run of the second set that has something of the first; the second set's length when there is none. */
function firstInside(runs: ByteRuns, others: ByteRuns): number {
  let at = 0;
  for (let next = 0; next < others.length; next += 2) {
    while (at < runs.length && endAt(runs, at) <= (others[next] ?? 0)) at += 2;
    if (at === runs.length) break;
    if ((runs[at] ?? 0) < endAt(others, next)) return next;
  }
  return others.length;
}

/** The runs of a block that are in either set. @param length of the block, in bytes */
export function allRuns(runs: ByteRuns, others: ByteRuns, length: number): ByteRuns {
  if (runs.length === 0) return others;
  if (others.length === 0) return runs;
  return complementOf(withoutRuns(complementOf(runs, length), others), length);
}

/** The runs of a block that are not in a set. @param length of the block, in bytes */
export function complementOf(runs: ByteRuns, length: number): ByteRuns {
  return length === 0 ? new Float64Array() : withoutRuns(Float64Array.of(0, length), runs);
}

/** A run, from its first byte to the one behind its last. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** The runs, one by one. */
export function* rangesOf(runs: ByteRuns): Generator<Range, void, void> {
  for (let at = 0; at < runs.length; at += 2) yield { start: runs[at] ?? 0, end: endAt(runs, at) };
}

function endAt(runs: ByteRuns, at: number): number {
  return (runs[at] ?? 0) + (runs[at + 1] ?? 0);
}

/** Puts a run behind the first `length` numbers of a list, unless it is empty. @returns the length then */
function add(list: ByteRuns, length: number, start: number, end: number): number {
  if (end <= start) return length;
  list[length] = start;
  list[length + 1] = end - start;
  return length + 2;
}
