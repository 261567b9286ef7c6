const FARTHEST = 2;

/** The word that was probably meant: the one with the fewest letters to change, if those are few. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const starts = candidates.filter((candidate) => word.length > 2 && candidate.startsWith(word));
  if (starts.length === 1) return starts[0];
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: distance(word, candidate) }))
    .filter(({ candidate, distance: letters }) => letters <= FARTHEST && letters < candidate.length)
    .toSorted((left, right) => left.distance - right.distance);
  return ranked[0]?.candidate;
}

/** Levenshtein's: letters to insert, drop or replace. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of Array.from(from).entries()) {
    const next = [index + 1];
    for (const [at, other] of Array.from(to).entries()) {
      const replaced = (row[at] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
