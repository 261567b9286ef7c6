import test from 'ava';
import * as fc from 'fast-check';

import { PageBits, zeroTest } from '../../ts/pages/page-bits.ts';

/** Numbers of pages around the borders of bytes, and of the pieces in which bits are kept. */
const page = fc.oneof(
  fc.nat({ max: 40 }),
  fc.integer({ min: 32_750, max: 32_790 }),
  fc.integer({ min: 2 ** 40, max: 2 ** 40 + 20 }),
);

test('bits are those of a set, its runs and its bytes', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(page, fc.boolean())), (changes) => {
      const bits = new PageBits();
      const expected = new Set<number>();
      for (const [number, isSet] of changes) {
        if (isSet) bits.set(number);
        else bits.clear(number);
        if (isSet) expected.add(number);
        else expected.delete(number);
      }
      const pages = [...expected].toSorted((left, right) => left - right);
      for (const [number] of changes) t.is(bits.has(number), expected.has(number));
      t.is(bits.count(), pages.length);
      const fromRuns = [...bits.runs()].flatMap((run) =>
        Array.from({ length: run.length }, (_, index) => run.page + index),
      );
      t.deepEqual(fromRuns, pages);
      const fromBytes = [...bits.pieces()].flatMap(({ offset, bytes }) =>
        Array.from({ length: bytes.length * 8 }, (_, bit) => bit)
          .filter((bit) => ((bytes[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0)
          .map((bit) => offset * 8 + bit),
      );
      t.deepEqual(fromBytes, pages);
    }),
    { numRuns: 50 },
  );
});

test('a page is zero when each of its bytes is', (t) => {
  const isZero = zeroTest(64);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 2 }))), (writes) => {
      const bytes = new Uint8Array(64);
      for (const [at, value] of writes) bytes[at] = value;
      t.is(
        isZero(bytes),
        bytes.every((byte) => byte === 0),
      );
    }),
  );
});
