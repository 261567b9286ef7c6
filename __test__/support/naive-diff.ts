import { readFile } from 'node:fs/promises';

import { Snapshot, type PageDifference } from '../../ts/index.ts';
import { PAGE } from './synthetic.ts';

/** The pages of a block; undefined for a page that the file does not have. */
export type BlockContent = readonly (Uint8Array | undefined)[];

/** Reads a whole block the slow way: a bit, its page, the next bit (docs/format.md §2.5). */
export async function blockContent(path: string, id: string): Promise<BlockContent> {
  await using snapshot = await Snapshot.open(path);
  const block = snapshot.completeRam().blocks.find((candidate) => candidate.id === id);
  if (block === undefined) throw new Error(`${path} has no block ${id}`);
  const file = await readFile(snapshot.path);
  return Array.from({ length: block.length / PAGE }, (_, page) => {
    const bit = file.readUInt8(block.area.bitmapOffset + Math.floor(page / 8)) & (1 << (page % 8));
    const offset = block.area.pagesOffset + page * PAGE;
    return bit === 0 ? undefined : file.subarray(offset, offset + PAGE);
  });
}

/** The pages of a RAM file. */
export async function ramContent(path: string): Promise<BlockContent> {
  const file = await readFile(path);
  return Array.from({ length: file.length / PAGE }, (_, page) =>
    file.subarray(page * PAGE, (page + 1) * PAGE),
  );
}

/** The difference of each page, found a page at a time; undefined where both sides are equal. */
export function naiveDiff(left: BlockContent, right: BlockContent): readonly (PageDifference | undefined)[] {
  const zero = Buffer.alloc(PAGE);
  return left.map((page, index) => {
    const [a, b] = [page ?? zero, right[index] ?? zero];
    if (Buffer.compare(a, b) === 0) return undefined;
    if (Buffer.compare(a, zero) === 0) return 'became-data';
    return Buffer.compare(b, zero) === 0 ? 'became-zero' : 'changed';
  });
}

/** The kind of each page, from runs; undefined for pages outside all runs. */
export function kindsOf(
  runs: Iterable<{ readonly kind: string; readonly offset: number; readonly length: number }>,
  pages: number,
): readonly (string | undefined)[] {
  const kinds: (string | undefined)[] = Array.from({ length: pages }, () => undefined);
  for (const { kind, offset, length } of runs) kinds.fill(kind, offset / PAGE, (offset + length) / PAGE);
  return kinds;
}
