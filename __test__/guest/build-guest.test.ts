import test from 'ava';
import * as fc from 'fast-check';

import { buildGuest, PARAMETERS_OFFSET } from '../../ts/guest/build-guest.ts';
import { guestPageAddress, guestRegion } from '../../ts/guest/guest-region.ts';

const MIB = 1024 * 1024;

test('the guest is one boot sector with its signature', (t) => {
  const image = buildGuest();
  t.is(image.length, 512);
  t.deepEqual([...image.subarray(510)], [0x55, 0xaa]);
});

test('the parameters default to 32 MiB at 16 MiB without pacing', (t) => {
  t.deepEqual(parameters(buildGuest()), [16 * MIB, 8192, 0]);
});

test('the parameters are patched into the image and nothing else changes', (t) => {
  const image = buildGuest({ start: 48 * MIB, length: 4096, pace: 0xffffffff });
  t.deepEqual(parameters(image), [48 * MIB, 1, 0xffffffff]);
  const other = buildGuest();
  other.set(image.subarray(PARAMETERS_OFFSET, PARAMETERS_OFFSET + 12), PARAMETERS_OFFSET);
  t.deepEqual(image, other);
});

test('the region may fill everything from 1 MiB to 2 GiB', (t) => {
  t.deepEqual(parameters(buildGuest({ start: MIB, length: 2047 * MIB })), [MIB, 2047 * 256, 0]);
});

test('a region that is not whole pages is refused', (t) => {
  for (const options of [
    { start: 16 * MIB + 1 },
    { length: 100 },
    { length: 4096.5 },
    { start: Number.NaN },
  ]) {
    t.throws(() => buildGuest(options), { code: 'ERR_MAPPED_RAM_ALIGNMENT' });
  }
});

test('a region out of bounds is refused', (t) => {
  for (const options of [
    { start: MIB - 4096 },
    { start: -4096 },
    { length: 0 },
    { length: -4096 },
    { start: 16 * MIB, length: 2032 * MIB + 4096 },
  ]) {
    t.throws(() => buildGuest(options), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
  }
});

test('a pace out of bounds is refused', (t) => {
  for (const pace of [-1, 0.5, 2 ** 32]) {
    t.throws(() => buildGuest({ pace }), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
  }
});

test('a span that is too short, too long, or no power of two of pages is refused', (t) => {
  const length = 4 * MIB;
  for (const [span, code] of [
    [2 * MIB, 'ERR_MAPPED_RAM_OUT_OF_RANGE'],
    [2048 * MIB, 'ERR_MAPPED_RAM_OUT_OF_RANGE'],
    [6 * MIB, 'ERR_MAPPED_RAM_ALIGNMENT'],
    [4 * MIB + 1, 'ERR_MAPPED_RAM_ALIGNMENT'],
  ] as const) {
    t.throws(() => buildGuest({ start: MIB, length, span }), { code }, `${span}`);
  }
  t.is(buildGuest({ start: MIB, length, span: 1024 * MIB }).length, 512);
});

test('scattered pages have places of their own, all within the span', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 14 }), fc.double({ min: 0, max: 1, noNaN: true }), (bits, part) => {
      const span = 4096 * 2 ** bits;
      const pages = Math.max(1, Math.floor(2 ** bits * part));
      const region = guestRegion({ start: 16 * MIB, length: pages * 4096, span });
      const places = Array.from({ length: pages }, (_, page) => guestPageAddress(region, page));
      t.is(new Set(places).size, pages);
      for (const place of places) {
        t.true(place >= 16 * MIB && place + 4096 <= 16 * MIB + span && place % 4096 === 0);
      }
    }),
    { numRuns: 60 },
  );
  const region = guestRegion({ length: 200 * MIB, span: 1024 * MIB });
  const jumps = Array.from(
    { length: region.pages - 1 },
    (_, page) => Math.abs(guestPageAddress(region, page + 1) - guestPageAddress(region, page)) / 4096,
  );
  // A readahead of 128 KiB would have the next page rarely.
  t.true(jumps.filter((jump) => jump <= 32).length < jumps.length / 100);
});

function parameters(image: Uint8Array): readonly number[] {
  const view = new DataView(image.buffer, image.byteOffset);
  return [0, 4, 8].map((offset) => view.getUint32(PARAMETERS_OFFSET + offset, true));
}
