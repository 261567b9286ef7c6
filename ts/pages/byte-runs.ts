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

/** The runs that are in the first set and not in the second. */
export function withoutRuns(runs: ByteRuns, others: ByteRuns): ByteRuns {
  const left: number[] = [];
  let next = 0;
  for (const { start, end } of rangesOf(runs)) {
    let reached = start;
    // Runs of the other set that end before this one starts matter to none that follows.
    while (next < others.length && endAt(others, next) <= start) next += 2;
    for (let at = next; at < others.length && (others[at] ?? 0) < end; at += 2) {
      add(left, reached, Math.min(end, others[at] ?? 0));
      reached = Math.max(reached, endAt(others, at));
    }
    add(left, reached, end);
  }
  return Float64Array.from(left);
}

/** The runs of a block that are in either set. @param length of the block, in bytes */
export function allRuns(runs: ByteRuns, others: ByteRuns, length: number): ByteRuns {
  if (runs.length === 0) return others;
  if (others.length === 0) return runs;
  return complementOf(withoutRuns(complementOf(runs, length), others), length);
}

/** The runs of a block that are not in a set. @param length of the block, in bytes */
export function complementOf(runs: ByteRuns, length: number): ByteRuns {
  return withoutRuns(Float64Array.of(0, length), runs);
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

function add(list: number[], start: number, end: number): void {
  if (end > start) list.push(start, end - start);
}
