import test from 'ava';

import { buildGuest, PARAMETERS_OFFSET } from '../../ts/guest/build-guest.ts';

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

function parameters(image: Uint8Array): readonly number[] {
  const view = new DataView(image.buffer, image.byteOffset);
  return [0, 4, 8].map((offset) => view.getUint32(PARAMETERS_OFFSET + offset, true));
}
