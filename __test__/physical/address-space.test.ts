import test from 'ava';
import * as fc from 'fast-check';

import { AddressSpace, type PhysicalRange } from '../../ts/physical/address-space.ts';

const SIZE = 64;

interface Step {
  readonly kind: 'place' | 'clear';
  readonly address: number;
  readonly length: number;
  readonly block: string;
  readonly offset: number;
}

test('ranges are what a byte for every address gives', (t) => {
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('place', 'place', 'clear'),
    address: fc.nat(SIZE / 2),
    length: fc.nat(SIZE / 2),
    block: fc.constantFrom('a', 'b'),
    offset: fc.nat(8),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const space = new AddressSpace();
      const bytes: (string | undefined)[] = Array.from({ length: SIZE });
      for (const { kind, address, length, block, offset } of steps) {
        if (kind === 'place') space.place({ address, length, block, offset, kind: 'ram' });
        else space.clear(address, length);
        for (let at = 0; at < length; at += 1) {
          bytes[address + at] = kind === 'place' ? `${block} ${offset + at}` : undefined;
        }
      }
      const ranges = space.ranges();
      t.deepEqual(expand(ranges), bytes);
      for (const [index, range] of ranges.entries()) {
        t.true(range.length > 0);
        const next = ranges[index + 1];
        if (next === undefined) continue;
        const end = range.address + range.length;
        t.true(end <= next.address);
        const goesOn =
          end === next.address && range.block === next.block && range.offset + range.length === next.offset;
        t.false(goesOn, 'what goes on is one range');
      }
    }),
    { numRuns: 500 },
  );
});

function expand(ranges: readonly PhysicalRange[]): readonly (string | undefined)[] {
  const bytes: (string | undefined)[] = Array.from({ length: SIZE });
  for (const { address, length, block, offset } of ranges) {
    for (let at = 0; at < length; at += 1) bytes[address + at] = `${block} ${offset + at}`;
  }
  return bytes;
}
