import test from 'ava';
import * as fc from 'fast-check';

import { UsageError } from '../../ts/cli/exit-codes.ts';
import { parseSize } from '../../ts/cli/options/parse-size.ts';

const MIB = 1024 * 1024;

test('sizes are read in powers of 1024, with and without iB', (t) => {
  const cases: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['4096', 4096],
    ['4096B', 4096],
    ['0x1000', 4096],
    ['64k', 65536],
    ['64M', 64 * MIB],
    ['64MiB', 64 * MIB],
    ['64 mib', 64 * MIB],
    ['1.5G', 1536 * MIB],
    ['0.5KiB', 512],
    ['2T', 2 * MIB * MIB],
  ];
  for (const [text, size] of cases) t.is(parseSize('--size', text), size, text);
});

test('KB, MB and GB are ambiguous: the message says what to write', (t) => {
  for (const text of ['1kB', '64MB', '1GB', '2tb']) {
    const error = t.throws(() => parseSize('--size', text), { instanceOf: UsageError });
    t.regex(error.message, new RegExp(`^--size: '${text}' is ambiguous .* write \\d+[KMGT]iB`));
  }
});

test('what is no size is refused', (t) => {
  for (const text of [
    '',
    ' ',
    'M',
    '-1',
    '+1',
    '1,5G',
    '1.G',
    '1e3',
    '0x',
    '0x1M',
    '1 M B',
    '10X',
    'NaN',
    'Infinity',
  ])
    t.throws(
      () => parseSize('--size', text),
      { instanceOf: UsageError, message: /^--size must be a size/ },
      text,
    );
});

test('fractions of bytes and sizes beyond 2^53-1 are refused', (t) => {
  for (const text of ['1.5', '0.0001K']) {
    t.throws(() => parseSize('--size', text), { instanceOf: UsageError, message: /whole number of bytes/ });
  }
  for (const text of ['9007199254740992', '8P', '16E', '0x20000000000000']) {
    t.throws(() => parseSize('--size', text), { instanceOf: UsageError, message: /less than 8 PiB/ });
  }
});

test('every number of KiB is read back', (t) => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), (count) => {
      t.is(parseSize('--size', `${count}K`), count * 1024);
      t.is(parseSize('--size', `${count * 1024}`), count * 1024);
    }),
  );
});
