import test from 'ava';
import * as fc from 'fast-check';

import { zeroTest } from '../../ts/pages/zero-test.ts';

test('a page is zero when each of its bytes is', (t) => {
  const isZero = zeroTest(64);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 2 }))), (writes) => {
      const page = new Uint8Array(64);
      for (const [at, value] of writes) page[at] = value;
      t.is(
        isZero(page),
        page.every((byte) => byte === 0),
      );
    }),
  );
});
