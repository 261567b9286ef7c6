import test from 'ava';
import * as fc from 'fast-check';

import { mutate } from '../../fuzz/mutate.ts';
import { Random } from '../../fuzz/random.ts';
import {
  decodeInput,
  denseInput,
  encodeInput,
  readInput,
  storedBytes,
  withHoles,
  type SparseInput,
} from '../../fuzz/sparse-input.ts';

const sparse: fc.Arbitrary<SparseInput> = fc.record({
  size: fc.nat({ max: 300 }),
  extents: fc.array(fc.record({ offset: fc.nat({ max: 200 }), bytes: fc.uint8Array({ maxLength: 40 }) }), {
    maxLength: 4,
  }),
});

test('an input is the same after it was stored', (t) => {
  fc.assert(
    fc.property(sparse, (input) => {
      t.deepEqual(decodeInput(encodeInput(input)), input);
      // A longer input may have stood in the same place before.
      t.deepEqual(decodeInput(Uint8Array.from([...encodeInput(input), 1, 2, 3])), input);
    }),
  );
});

test('reading an input gives its bytes, later extents first, and zeros', (t) => {
  fc.assert(
    fc.property(sparse, fc.nat({ max: 300 }), fc.nat({ max: 60 }), (input, offset, length) => {
      const whole = new Uint8Array(400);
      for (const extent of input.extents) whole.set(extent.bytes, extent.offset);
      t.deepEqual(readInput(input, offset, length), whole.slice(offset, offset + length));
    }),
  );
});

test('only long runs of one byte become holes', (t) => {
  const run = fc.record({ length: fc.integer({ min: 1, max: 100 }), byte: fc.constantFrom(0, 0xa5, 7) });
  fc.assert(
    fc.property(fc.array(run, { maxLength: 8 }), (runs) => {
      const bytes = Uint8Array.from(runs.flatMap(({ length, byte }) => Array.from({ length }, () => byte)));
      // The check starts at each byte and counts the equal ones around it.
      const isInRun = (at: number): boolean => {
        const before = bytes.subarray(0, at).findLastIndex((byte) => byte !== bytes[at]);
        const after = bytes.findIndex((byte, index) => index > at && byte !== bytes[at]);
        return (after === -1 ? bytes.length : after) - before - 1 >= 64;
      };
      const kept = [...bytes.keys()].filter((at) => !isInRun(at));
      const expected = new Uint8Array(bytes.length);
      for (const at of kept) expected[at] = bytes[at] ?? 0;
      const input = withHoles(denseInput(bytes));
      t.is(input.size, bytes.length);
      t.deepEqual(readInput(input, 0, bytes.length), expected);
      t.is(storedBytes(input), kept.length);
    }),
  );
});

test('a mutation is an input within bounds, and the one it was made of is left alone', (t) => {
  fc.assert(
    fc.property(sparse, sparse, fc.nat(), (made, other, seed) => {
      const before = encodeInput(made);
      // The input is decoded from bytes, as one out of a file is.
      const input = decodeInput(Buffer.from(before));
      const options = { random: new Random(seed), other, dictionary: [Uint8Array.of(1, 2)], maxBytes: 200 };
      const { size, extents } = mutate(input, options);
      t.true(Number.isSafeInteger(size) && size >= 0);
      for (const { offset } of extents) t.true(Number.isSafeInteger(offset) && offset >= 0);
      t.true(storedBytes({ size, extents }) <= 200);
      t.deepEqual(encodeInput(input), before);
    }),
    { numRuns: 2000 },
  );
});

function draw(seed: number): readonly number[] {
  const random = new Random(seed);
  return Array.from({ length: 1000 }, () => random.below(10));
}

test('random numbers are spread over the whole range and come from the seed', (t) => {
  t.deepEqual(draw(1), draw(1));
  t.notDeepEqual(draw(1), draw(2));
  for (let value = 0; value < 10; value += 1) {
    const count = draw(3).filter((drawn) => drawn === value).length;
    t.true(count > 60 && count < 140, `${count} times ${value}`);
  }
});
