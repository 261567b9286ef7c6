import test from 'ava';
import * as fc from 'fast-check';

import { RangeSet } from '../../ts/stream/range-set.ts';

test('ranges that touch do not overlap', (t) => {
  const set = new RangeSet();
  t.true(set.add(10, 20));
  t.true(set.add(30, 40));
  t.true(set.add(20, 30));
  t.true(set.add(0, 10));
  t.false(set.add(39, 41));
  t.true(set.add(40, 41));
});

test('a range is taken exactly when none of its places is taken', (t) => {
  const range = fc.tuple(fc.nat({ max: 60 }), fc.nat({ max: 12 }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
      const set = new RangeSet();
      const taken = new Set<number>();
      for (const [start, length] of ranges) {
        const places = Array.from({ length }, (_, index) => start + index);
        const free = places.every((place) => !taken.has(place));
        t.is(set.add(start, start + length), free);
        if (free) for (const place of places) taken.add(place);
      }
    }),
  );
});
