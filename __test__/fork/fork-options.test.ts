import test from 'ava';

import {
  checkForkNowOptions,
  checkForkOptions,
  type ForkOptions,
  MOST_CLONES,
} from '../../ts/fork/fork-options.ts';

const GOOD: ForkOptions = { args: () => ['-m', '64M'] };

test('options get their defaults', (t) => {
  t.like(checkForkOptions(1, GOOD), { count: 1, timeoutMs: 60_000 });
  t.like(checkForkOptions(MOST_CLONES, { ...GOOD, timeoutMs: 5, after: 'as-saved' }), {
    count: MOST_CLONES,
    timeoutMs: 5,
    after: 'as-saved',
  });
});

test('options that make no sense are refused', (t) => {
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /options: expected an object/],
    [{}, /args: expected a function/],
    [{ args: ['-m', '64M'] }, /args: expected a function/],
    [{ ...GOOD, after: 'run' }, /after: expected cont, stop, as-saved, found run/],
    [{ ...GOOD, fdset: 'yes' }, /fdset/],
    [{ ...GOOD, guard: true }, /guard/],
    [{ ...GOOD, timeoutMs: -1 }, /timeoutMs/],
    [{ ...GOOD, signal: 5 }, /signal/],
  ];
  for (const [options, message] of refused) {
    t.throws(() => Reflect.apply(checkForkOptions, undefined, [1, options]), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message,
    });
  }
  t.throws(() => checkForkNowOptions({ timeoutMs: Number.NaN }), { message: /timeoutMs/ });
});

test('no clone at all, and too many, are refused', (t) => {
  for (const count of [0, -1, 1.5, MOST_CLONES + 1, Number.NaN, Number.POSITIVE_INFINITY, '2']) {
    t.throws(
      () => Reflect.apply(checkForkOptions, undefined, [count, GOOD]),
      { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE', message: /number of clones: expected a whole number, 1 to 256/ },
      String(count),
    );
  }
});
