import type { BlockDiff, DiffPiece } from '../../diff/block-diff.ts';
import { formatSize, printable } from './format.ts';
import type { Style } from './style.ts';

const COLUMNS = 64;
const MAX_ROWS = 8;
const EQUAL = '·';
/** The shades of a cell: up to a quarter of it differs, a half, three quarters, more. */
const SHADES = ['░', '▒', '▓', '█'] as const;

/**
 * Draws a map of the differences in blocks: a cell for each piece of memory. All cells have one size, which gives the
 * largest block at most eight rows.
 */
export function diffMap(blocks: readonly BlockDiff[], style: Style): readonly string[] {
  const largest = Math.max(...blocks.map(({ pages, pageSize }) => pages * pageSize));
  let cell = Math.max(1, ...blocks.map(({ pageSize }) => pageSize));
  while (largest / cell > COLUMNS * MAX_ROWS) cell *= 2;
  const names = Math.max(...blocks.map(({ id }) => printable(id).length));
  return [
    style(
      'dim',
      `A cell is ${formatSize(cell)}: ${EQUAL} the same, ${SHADES.join(' ')} up to 25, 50, 75, 100 % of it differ`,
    ),
    ...blocks.flatMap((block) => rows(block, cell, names, style)),
  ];
}

function rows(block: BlockDiff, cell: number, names: number, style: Style): readonly string[] {
  const cells = Array.from(block.pieces(cell), shade);
  const lines: string[] = [];
  for (let start = 0; start < cells.length; start += COLUMNS) {
    const head = start === 0 ? printable(block.id) : '';
    lines.push(`${head.padEnd(names)}  ${style('yellow', cells.slice(start, start + COLUMNS).join(''))}`);
  }
  return lines;
}

function shade({ pages, differentPages }: DiffPiece): string {
  if (differentPages === 0) return EQUAL;
  return SHADES[Math.ceil((differentPages / pages) * SHADES.length) - 1] ?? EQUAL;
}
