import test from 'ava';

import { liveLimits } from '../../ts/save/live/live-options.ts';

test('a live save is bounded by passes, and at a bound the guest is stopped', (t) => {
  t.deepEqual(liveLimits({}), { maxPasses: 20, maxLiveMs: undefined, whenNotConverging: 'stop' });
  const given = { maxPasses: 1, maxLiveMs: 0.5, whenNotConverging: 'abandon' } as const;
  t.deepEqual(liveLimits(given), given);
});

test('a bound that is none is refused by its name', (t) => {
  for (const maxPasses of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => liveLimits({ maxPasses }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /^maxPasses: expected at least 1/,
    });
  }
  for (const maxLiveMs of [0, -1, Number.NaN, 2 ** 31]) {
    t.throws(() => liveLimits({ maxLiveMs }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /^maxLiveMs: expected milliseconds, more than 0/,
    });
  }
});
