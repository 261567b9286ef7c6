import test from 'ava';

import { assertFits } from '../../ts/snapshot/medium.ts';

const GIB = 2 ** 30;
const FAT = { type: 'vfat', free: 100 * GIB } as const;

test('a filesystem without holes has to have room for all of the memory', (t) => {
  t.notThrows(() => assertFits(FAT, 'x', { length: GIB, leastData: 0 }));
  t.throws(() => assertFits({ ...FAT, free: GIB / 2 }, 'x', { length: GIB, leastData: 0 }), {
    code: 'ERR_MAPPED_RAM_IO',
    message: /vfat has no holes/,
  });
});

test('a filesystem has to have files of that length', (t) => {
  t.throws(() => assertFits(FAT, 'x', { length: 4 * GIB, leastData: 0 }), {
    message: /vfat has no such long/,
  });
});

test('a filesystem with holes has to have room for what is written in any case', (t) => {
  t.notThrows(() => assertFits({ type: 'ext4', free: 4096 }, 'x', { length: GIB, leastData: 4096 }));
  const error = t.throws(() =>
    assertFits({ type: 'ext4', free: 4095 }, 'x', { length: GIB, leastData: 4096 }),
  );
  t.like(error, { path: 'x', expected: '4096 bytes', found: '4095 bytes', cause: { code: 'ENOSPC' } });
});
