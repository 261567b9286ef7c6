import test from 'ava';
import * as fc from 'fast-check';

import { dividePlacements, type Placement } from '../../ts/extract/placement.ts';
import type { MappedRamBlock } from '../../ts/stream/index.ts';
import { PAGE } from '../support/synthetic.ts';

const WORD = 64 * PAGE;

function block(id: string, pages: number): MappedRamBlock {
  const header = { headerOffset: 0, headerVersion: 1, entryOffset: 0, skipped: false };
  const area = { bitmapOffset: 0, pagesOffset: 0, length: pages * PAGE, pageSize: PAGE };
  return { id, length: pages * PAGE, ...header, area };
}

test('placements are divided without loss, and the engine can begin where it is to', (t) => {
  const blocks = [block('a', 800), block('b', 300), block('c', 20)];
  const placement = fc.tuple(fc.nat(2), fc.nat(800), fc.nat(800)).map(([index, left, right]) => {
    const of = blocks[index] ?? block('', 1);
    const pages = of.length / PAGE;
    const [start, end] = [Math.min(left, right) % pages, Math.min(pages, Math.max(left, right))];
    return start < end
      ? { block: of, offset: start * PAGE, length: (end - start) * PAGE }
      : { block: of, offset: 0, length: of.length };
  });
  fc.assert(
    fc.property(fc.array(placement, { minLength: 1, maxLength: 5 }), (parts) => {
      let at = 0;
      const placements: Placement[] = parts.map((part) => {
        at += part.length + PAGE;
        return { ...part, at: at - part.length - PAGE };
      });
      const { bulk, rest } = dividePlacements(placements);
      const pieces = [...bulk, ...rest].toSorted((left, right) => left.at - right.at);
      // The source of each page of the output.
      const expected = placements.flatMap((whole) => pagesOf(whole));
      t.deepEqual(
        pieces.flatMap((piece) => pagesOf(piece)),
        expected,
      );
      const taken = bulk.flatMap((piece) => pagesOf(piece).map(([, id, page]) => `${id} ${page}`));
      t.is(new Set(taken).size, taken.length, 'the engine moves no page twice');
      for (const piece of bulk) {
        t.is(piece.offset % WORD, 0);
        const end = piece.offset + piece.length;
        t.true(end % WORD === 0 || end === piece.block.length);
      }
      const copied = rest.filter(({ length }) => length >= 1 << 20);
      for (const piece of copied) {
        t.true(
          bulk.some((other) => other.block === piece.block),
          'only what the engine moves already is copied',
        );
      }
    }),
    { numRuns: 150 },
  );
});

function pagesOf({
  block: { id },
  offset,
  length,
  at,
}: Placement): readonly (readonly [number, string, number])[] {
  return Array.from(
    { length: length / PAGE },
    (_, page) => [at + page * PAGE, id, offset / PAGE + page] as const,
  );
}
