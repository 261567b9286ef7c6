import { printable } from './format.ts';
import type { Style } from './style.ts';

const GAP = '  ';

/** Makes lines of the form `key  value`, with aligned values. */
export function keyValues(
  pairs: readonly (readonly [key: string, value: string])[],
  style: Style,
): readonly string[] {
  const width = Math.max(...pairs.map(([key]) => key.length));
  return pairs.map(([key, value]) => `${style('dim', key.padEnd(width))}${GAP}${value}`);
}

export interface Column {
  readonly title: string;
  /** @default 'left' */
  readonly align?: 'left' | 'right';
}

/** Makes a table without lines: a header, and a row per entry. Cells are made safe for a terminal. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
): readonly string[] {
  const cells = rows.map((row) => row.map((cell) => printable(cell)));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => (row[index] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    columns
      .map(({ align }, index) => {
        const [cell = '', width = 0] = [row[index], widths[index]];
        return align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join(GAP)
      .trimEnd();
  return [style('dim', line(columns.map(({ title }) => title))), ...cells.map((row) => line(row))];
}
