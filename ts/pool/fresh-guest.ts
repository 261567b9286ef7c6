import { MappedRamError } from '../errors.ts';
import { assertOptions } from '../io/assert-options.ts';
import { inWords } from '../io/in-words.ts';
import { GuestPool } from './guest-pool.ts';
import type { TakeOptions } from './pool-options.ts';
import type { PooledGuest } from './pooled-qemu.ts';

/**
 * Does work with a guest that nobody has used, and ends the guest afterwards, whichever way the work ends.
 * @returns the work's result
 * @throws {MappedRamError} as `GuestPool.take`; the work's errors
 */
export async function freshGuest<Result>(
  pool: GuestPool,
  work: (guest: PooledGuest) => Promise<Result> | Result,
  options: TakeOptions = {},
): Promise<Result> {
  assertPool(pool);
  assertFunction('work', work);
  await using guest = await pool.take(options);
  // The guest lives until the work, which is awaited here, has ended.
  return await work(guest);
}

/** The two hooks of a test runner: `beforeEach` and `afterEach` of node:test, mocha, vitest or jest. */
export interface TestHooks {
  /** Registers a function that runs before each test. */
  readonly beforeEach: (hook: () => Promise<void>) => unknown;
  /** Registers a function that runs after each test, also after one that failed. */
  readonly afterEach: (hook: () => Promise<void>) => unknown;
}

/** The guest of the test that runs. */
export interface EachGuest {
  /** @throws {MappedRamError} ERR_MAPPED_RAM_CLOSED when no test runs */
  readonly guest: PooledGuest;
}

/**
 * Gives each test a guest of its own, in the state of the snapshot, and ends it after the test. The tests have to run one
 * after the other; tests that run at once use `freshGuest`.
 *
 * @param pool the pool, or a function that returns it, for a pool that is made in a hook
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT; the hooks throw as `GuestPool.take`, and
 *   ERR_MAPPED_RAM_BUSY when two tests run at once
 */
export function resetEach(
  pool: GuestPool | (() => GuestPool),
  hooks: TestHooks,
  options: TakeOptions = {},
): EachGuest {
  if (typeof pool !== 'function') assertPool(pool);
  assertOptions(hooks, 'hooks');
  assertFunction('beforeEach', hooks.beforeEach);
  assertFunction('afterEach', hooks.afterEach);
  let current: PooledGuest | undefined;
  let isTaken = false;
  hooks.beforeEach(async () => {
    if (isTaken) throw atOnce();
    isTaken = true;
    const from = typeof pool === 'function' ? pool() : pool;
    assertPool(from);
    current = await from.take(options);
  });
  hooks.afterEach(async () => {
    const used = current;
    [current, isTaken] = [undefined, false];
    await used?.[Symbol.asyncDispose]();
  });
  return {
    get guest(): PooledGuest {
      if (current !== undefined) return current;
      throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'a guest of resetEach lives only while a test runs');
    },
  };
}

function atOnce(): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_BUSY',
    'resetEach has one guest at a time, and another test still uses it: run tests one after the other, or use freshGuest',
  );
}

function assertPool(pool: unknown): void {
  if (pool instanceof GuestPool) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'pool', {
    expected: 'a pool of createPool',
    found: inWords(pool),
  });
}

function assertFunction(name: string, value: unknown): void {
  if (typeof value === 'function') return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
    expected: 'a function',
    found: inWords(value),
  });
}
