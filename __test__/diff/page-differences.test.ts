import test from 'ava';
import * as fc from 'fast-check';

import { BlockDiff } from '../../ts/diff/block-diff.ts';
import { PageDifferences } from '../../ts/diff/page-differences.ts';

const KINDS = [undefined, 'changed', 'became-zero', 'became-data'] as const;

/** Bits of pages, in runs that end inside bytes or cross them. Some are so long that the code steps over them. */
const pages = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 11 })) },
      { weight: 1, arbitrary: fc.tuple(fc.constantFrom(0, 3), fc.integer({ min: 16_000, max: 50_000 })) },
    ),
    { maxLength: 30 },
  )
  .map((runs) => runs.flatMap(([bits, length]) => Array.from({ length }, () => bits)));

function bytesOf(bits: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits.length / 4));
  for (const [page, value] of bits.entries()) {
    const at = Math.floor(page / 4);
    bytes[at] = (bytes[at] ?? 0) | (value << (2 * (page % 4)));
  }
  return bytes;
}

function countOf(bits: readonly number[], value: number): number {
  return bits.filter((found) => found === value).length;
}

test('counts equal a page-at-a-time loop', (t) => {
  const property = fc.property(pages, fc.nat(40_000), fc.nat(90_000), (bits, start, length) => {
    const differences = new PageDifferences(bytesOf(bits), bits.length);
    const part = bits.slice(start, start + length);
    t.deepEqual(differences.count(start, start + length), {
      changed: countOf(part, 1),
      becameZero: countOf(part, 2),
      becameData: countOf(part, 3),
    });
  });
  t.notThrows(() => fc.assert(property, { numRuns: 60 }));
});

test('runs are the longest there are, in order, and say what each page says', (t) => {
  const property = fc.property(pages, (bits) => {
    const runs = Array.from(new PageDifferences(bytesOf(bits), bits.length).runs());
    const found = bits.map(() => undefined as string | undefined);
    let end = 0;
    let kindBefore: string | undefined;
    for (const { kind, page, pages: count } of runs) {
      t.true(page > end || (page === end && kind !== kindBefore) || (page === 0 && end === 0));
      found.fill(kind, page, page + count);
      [end, kindBefore] = [page + count, kind];
    }
    t.deepEqual(
      found,
      bits.map((value) => KINDS[value]),
    );
  });
  t.notThrows(() => fc.assert(property, { numRuns: 60 }));
});

test('a block is cut into pieces that hold all of its differences', (t) => {
  const lengths = fc.record({
    more: fc.integer({ min: -20, max: 20 }),
    size: fc.integer({ min: 1, max: 70_000 }),
  });
  const property = fc.property(pages, lengths, (bits, { more, size }) => {
    const common = bits.length * 4096;
    const left = common + Math.max(0, more) * 4096;
    const right = common + Math.max(0, -more) * 4096;
    const block = new BlockDiff('m0', { left, right }, 4096, new PageDifferences(bytesOf(bits), bits.length));
    const pieces = Array.from(block.pieces(size));
    const all = pieces.reduce((sum, piece) => sum + piece.differentPages, 0);
    t.is(all, countOf(bits, 1) + countOf(bits, 2) + countOf(bits, 3) + Math.abs(more));
    t.is(all, block.pages - block.same);
    t.is(block.equal, all === 0);
    let offset = 0;
    for (const piece of pieces) {
      t.is(piece.offset, offset);
      t.is(piece.length, piece.pages * 4096);
      t.true(piece.differentPages <= piece.pages);
      offset += piece.length;
    }
    t.is(offset, Math.max(left, right));
    const alone = Array.from(block.runs()).filter(({ kind }) => kind.startsWith('only-'));
    t.deepEqual(
      alone,
      more === 0
        ? []
        : [{ kind: more > 0 ? 'only-left' : 'only-right', offset: common, length: Math.abs(more) * 4096 }],
    );
  });
  t.notThrows(() => fc.assert(property, { numRuns: 60 }));
});
