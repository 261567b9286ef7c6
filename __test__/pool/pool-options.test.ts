import { open } from 'node:fs/promises';

import test from 'ava';

import { lockFile } from '../../ts/engine/file-lock.ts';
import { createPool } from '../../ts/pool/create-pool.ts';
import { freshGuest, resetEach } from '../../ts/pool/fresh-guest.ts';
import type { PoolOptions } from '../../ts/pool/pool-options.ts';
import { syntheticSnapshot } from '../restore/synthetic-snapshot.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Options that would fail with other words if a process was started. */
const GOOD: PoolOptions = { args: () => ['-m', '64K'], size: 2, binary: '/no/such/qemu' };
/** No command line. */
const numbers = (): readonly unknown[] => [5];

test('options that make no sense are refused before anything is opened', async (t) => {
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /options: expected an object/],
    [{ ...GOOD, args: ['-m', '64K'] }, /args: expected a function/],
    [{ ...GOOD, size: 0 }, /size: expected a whole number, 1 or more, found 0/],
    [{ ...GOOD, size: 1.5 }, /size/],
    [{ ...GOOD, size: undefined }, /size/],
    [{ ...GOOD, refill: 0 }, /refill/],
    [{ ...GOOD, wait: 'ready' }, /wait: expected loaded, mapped, found ready/],
    [{ ...GOOD, after: 'run' }, /after/],
    [{ ...GOOD, workingSet: 'warm' }, /workingSet: expected auto, off, found warm/],
    [{ ...GOOD, workingSet: 5 }, /workingSet: expected an object, found 5/],
    [{ ...GOOD, workingSet: {} }, /workingSet.path/],
    [{ ...GOOD, minFreeMemory: -1 }, /minFreeMemory/],
    [{ ...GOOD, timeoutMs: Number.NaN }, /timeoutMs/],
    [{ ...GOOD, signal: 5 }, /signal/],
    [{ ...GOOD, mode: 'warp' }, /mode of a restore/],
    [{ ...GOOD, mode: 'eager' }, /mode eager maps none: expected instant, found eager/],
    [{ ...GOOD, mode: 'preload' }, /mode preload maps none/],
  ];
  for (const [options, message] of refused) {
    const making: Promise<unknown> = Reflect.apply(createPool, undefined, ['/no/such/snapshot', options]);
    await t.throwsAsync(making, { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message });
  }
});

test.serial(
  'what the snapshot and the command lines do not allow is refused before a process starts',
  async (t) => {
    await using dir = await temporaryDirectory();
    const snapshot = await syntheticSnapshot(dir, [{ id: 'pc.ram', pages: 16 }]);
    const { path } = snapshot;
    await snapshot.close();
    const make = (options: Partial<PoolOptions>): Promise<unknown> =>
      createPool(path, { ...GOOD, ...options }).then((pool) => pool.close());
    const invalid = 'ERR_MAPPED_RAM_INVALID_ARGUMENT';
    const once = async (): Promise<void> => {
      await t.throwsAsync(make({ args: () => ['-hda', '/x'] }), { code: invalid, message: /same disk, \/x/ });
      await t.throwsAsync(make({ args: (i) => (i === 0 ? ['-m', '64K'] : ['-m', '1G']) }), { code: invalid });
      await t.throwsAsync(make({ args: (i) => (i === 0 ? ['-m', '64K'] : ['-loadvm', 'x']) }), {
        code: invalid,
      });
      await t.throwsAsync(Reflect.apply(createPool, undefined, [path, { ...GOOD, args: numbers }]), {
        code: invalid,
        message: /args\(0\)/,
      });
      await t.throwsAsync(make({ args: () => Promise.reject(new Error('no disk for it')) }), {
        message: 'no disk for it',
      });
      await t.throwsAsync(make({ signal: AbortSignal.abort(new Error('enough')) }), { message: 'enough' });
      await using writer = await open(path, 'r+');
      lockFile(writer.fd, 'exclusive', path);
      await t.throwsAsync(make({}), { code: 'ERR_MAPPED_RAM_BUSY', message: /is being written/ });
    };
    await assertNoLeak(t, once, once);
  },
);

test('helpers refuse what is no pool, no work and no hook', async (t) => {
  const invalid = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
  await t.throwsAsync(Reflect.apply(freshGuest, undefined, [{}, () => 1]), invalid);
  t.throws(() => Reflect.apply(resetEach, undefined, [{}, {}]), invalid);
  t.throws(() => Reflect.apply(resetEach, undefined, [() => 1, { beforeEach: 5 }]), invalid);
  t.throws(() => Reflect.apply(resetEach, undefined, [() => 1, undefined]), invalid);
});
