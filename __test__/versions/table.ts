import { readFileSync, writeFileSync } from 'node:fs';

import type { ExecutionContext } from 'ava';

const DOCUMENT = 'docs/qemu-versions.md';

/** The outcome of trying something: it works, with words that say how, or it does not, for a reason. */
export type Outcome =
  | { readonly works: true; readonly words: string }
  | { readonly works: false; readonly reason: string };

export const yes = (words = 'yes'): Outcome => ({ works: true, words });
export const no = (reason: string): Outcome => ({ works: false, reason });

/** A table of outcomes, made while the tests run. A cell without an outcome is an error when the table is written. */
export class OutcomeTable {
  readonly #corner: string;
  readonly #columns: readonly string[];
  readonly #rows = new Map<string, Map<string, Outcome>>();

  /** @param corner the words above the names of the rows */
  constructor(corner: string, columns: readonly string[]) {
    this.#corner = corner;
    this.#columns = columns;
  }

  set(row: string, column: string, outcome: Outcome): void {
    const cells = this.#rows.get(row) ?? new Map<string, Outcome>();
    this.#rows.set(row, cells.set(column, outcome));
  }

  /** Returns the table in Markdown. Each reason stands below it once, with the number that stands in the cells. */
  lines(): readonly string[] {
    const reasons: string[] = [];
    const cell = (outcome: Outcome | undefined): string => {
      if (outcome === undefined) return 'unknown';
      if (outcome.works) return outcome.words;
      if (!reasons.includes(outcome.reason)) reasons.push(outcome.reason);
      return `no (${reasons.indexOf(outcome.reason) + 1})`;
    };
    const rows = [...this.#rows].map(([name, cells]) =>
      line([name, ...this.#columns.map((column) => cell(cells.get(column)))]),
    );
    const head = [
      line([this.#corner, ...this.#columns]),
      line([...this.#corner.split(' | '), ...this.#columns].map(() => '---')),
    ];
    const notes = reasons.map((reason, index) => `${index + 1}. ${reason}`);
    return [...head, ...rows, ...(notes.length === 0 ? [] : ['', ...notes])];
  }
}

/**
 * Compares a table with the one that the document has between `<!-- NAME -->` and `<!-- end -->`. With
 * `MAPPED_RAM_UPDATE_DOCS=1` the table is written there first.
 */
export function assertDocumented(t: ExecutionContext, name: string, table: OutcomeTable): void {
  const lines = table.lines().join('\n');
  t.false(lines.includes('unknown'), lines);
  const begin = `<!-- ${name} -->\n`;
  const [before, rest] = split(readFileSync(DOCUMENT, 'utf8'), begin);
  const [documented, after] = split(rest, '<!-- end -->');
  if (process.env['MAPPED_RAM_UPDATE_DOCS'] === '1') {
    writeFileSync(DOCUMENT, `${before}${begin}\n${lines}\n\n<!-- end -->${after}`);
  } else {
    t.is(
      lines,
      documented.trim(),
      `${DOCUMENT} says something else; MAPPED_RAM_UPDATE_DOCS=1 writes what was found`,
    );
  }
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function split(text: string, mark: string): readonly [string, string] {
  const at = text.indexOf(mark);
  if (at === -1) throw new Error(`${DOCUMENT} has no ${mark.trim()}`);
  return [text.slice(0, at), text.slice(at + mark.length)];
}
