import test from 'ava';
import * as fc from 'fast-check';

import { encodePageHeader, encodeZeroPage } from '../../../ts/stream/write/encode-pages.ts';
import { PlainPageEncoder } from '../../../ts/stream/write/plain-page-encoder.ts';

const SIZE = 1024;
/** Offsets of pages, some of which exceed 32 bits. */
const offset = fc
  .oneof(fc.nat({ max: 9 }), fc.integer({ min: 2 ** 30, max: 2 ** 32 }))
  .map((page) => page * SIZE);
const record = fc.record({
  offset,
  isZero: fc.boolean(),
  isNewBlock: fc.boolean(),
});

test('records are those of the plain encoders, whenever the buffer is emptied', (t) => {
  fc.assert(
    fc.property(fc.array(record), fc.integer({ min: 2 * SIZE, max: 8 * SIZE }), (records, capacity) => {
      const encoder = new PlainPageEncoder(SIZE, capacity);
      const found: Uint8Array[] = [];
      const expected: Uint8Array[] = [];
      let id = '';
      for (const [index, { offset: at, isZero, isNewBlock }] of records.entries()) {
        const startsBlock = isNewBlock || index === 0;
        if (startsBlock) {
          id = `block ${index}`;
          encoder.startBlock(id);
        }
        if (!encoder.hasRoom) found.push(encoder.take().slice());
        const options = { targetPageSize: SIZE, sameBlock: !startsBlock };
        const bytes = new Uint8Array(SIZE).fill(index + 1);
        if (isZero) encoder.zeroPage(at);
        else encoder.page(at, bytes);
        expected.push(
          ...(isZero ? [encodeZeroPage(id, at, options)] : [encodePageHeader(id, at, options), bytes]),
        );
      }
      found.push(encoder.take());
      t.deepEqual(Buffer.concat(found), Buffer.concat(expected));
    }),
  );
});
