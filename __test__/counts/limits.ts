import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PATH = fileURLToPath(new URL('limits.json', import.meta.url));
const RENEW = 'npm run counts:renew';

/** Numbers by name, of one case. */
export type Counts = Readonly<Record<string, number>>;
/** The cases of one part of the table by their names. */
export type Part = Readonly<Record<string, Counts>>;

/**
 * Lists in words what grew beyond its limit, and the cases that only the table or only the counts have. A count below
 * its limit is no offence.
 */
export function offences(part: string, found: Part, limits: Part): readonly string[] {
  const hint = `if that is meant, ${RENEW} writes the limits of __test__/counts/limits.json anew`;
  const words: string[] = [];
  for (const name of new Set([...Object.keys(found), ...Object.keys(limits)])) {
    const [counts, limit] = [found[name], limits[name]];
    if (counts === undefined) words.push(`${part}, ${name}: nothing was counted; ${hint}`);
    else if (limit === undefined) words.push(`${part}, ${name}: there is no limit; ${hint}`);
    else {
      for (const [what, count] of Object.entries(counts)) {
        const most = limit[what] ?? 0;
        if (count > most) words.push(`${part}, ${name}: ${what} grew from ${most} to ${count}; ${hint}`);
      }
    }
  }
  return words;
}

/** Lists what fell below its limit, so that somebody may renew the table and keep what was won. */
export function gains(part: string, found: Part, limits: Part): readonly string[] {
  return Object.entries(found).flatMap(([name, counts]) =>
    Object.entries(limits[name] ?? {})
      .filter(([what, most]) => (counts[what] ?? 0) < most)
      .map(([what, most]) => `${part}, ${name}: ${what} fell from ${most} to ${counts[what] ?? 0}`),
  );
}

/** Reads a part of the table; with `MAPPED_RAM_RENEW_COUNTS=1`, writes what was found there first. */
export function limitsOf(part: string, found: Part): Part {
  const table: Record<string, Part> = JSON.parse(readFileSync(PATH, 'utf8'));
  if (process.env['MAPPED_RAM_RENEW_COUNTS'] === '1') {
    table[part] = found;
    writeFileSync(PATH, `${JSON.stringify(table, undefined, 2)}\n`);
  }
  return table[part] ?? {};
}
