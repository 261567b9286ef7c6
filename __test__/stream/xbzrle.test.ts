import test from 'ava';
import * as fc from 'fast-check';

import { applyXbzrle } from '../../ts/stream/xbzrle.ts';
import { encodeXbzrle, uleb128 } from '../support/xbzrle-encoder.ts';

const SIZE = 4096;

const change = fc.record({ offset: fc.nat({ max: SIZE - 1 }), bytes: fc.uint8Array({ maxLength: 300 }) });

test('a delta turns the page that it was made from into the one that it was made for', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: SIZE, maxLength: SIZE }), fc.array(change), (before, changes) => {
      const after = before.slice();
      for (const { offset, bytes } of changes) after.set(bytes.subarray(0, SIZE - offset), offset);
      const page = before.slice();
      t.true(applyXbzrle(encodeXbzrle(before, after), page));
      t.deepEqual(page, after);
    }),
  );
});

const REFUSED: readonly (readonly [string, readonly number[]])[] = [
  ['a run of no literal bytes', [4, 0]],
  ['a run to skip of no bytes, but at the start', [0, 1, 7, 0, 1, 7]],
  ['literal bytes that are missing', [0, 3, 7, 7]],
  ['no literal bytes at all', [4]],
  ['a run to skip beyond the page', [...uleb128(SIZE), 1, 7]],
  ['literal bytes beyond the page', [...uleb128(SIZE - 1), 2, 7, 7]],
  ['half a length', [0x80]],
  ['a length of three bytes', [0x80, 0x80, 1, 1, 7]],
];

for (const [what, delta] of REFUSED) {
  test(`refused: ${what}`, (t) => {
    t.false(applyXbzrle(Uint8Array.from(delta), new Uint8Array(SIZE)));
  });
}

test('whatever a delta says, nothing but the page is touched', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (delta) => {
      const around = new Uint8Array(3 * SIZE).fill(0xee);
      applyXbzrle(delta, around.subarray(SIZE, 2 * SIZE));
      t.true(around.subarray(0, SIZE).every((byte) => byte === 0xee));
      t.true(around.subarray(2 * SIZE).every((byte) => byte === 0xee));
    }),
  );
});
