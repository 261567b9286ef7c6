import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import test from 'ava';

import { freshGuest } from '../../ts/pool/fresh-guest.ts';
import type { GuestPool } from '../../ts/pool/guest-pool.ts';
import { POOL_WAITS } from '../../ts/pool/pool-options.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { childProcesses, childQemus, PoolGuests, untilHealth } from '../support/pool-guests.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
/** Guests that are taken in a row: 5000 show what 100 do not. */
const TAKES = Number(process.env['MAPPED_RAM_POOL_TAKES'] ?? 100);
/** Takes after which the runtimes have what they keep. */
const WARM_UP = 30;
/** Bytes of JavaScript's heap that many takes may leave, whatever their number. */
const MOST_HEAP = 3 * MIB;

qemuTest(
  `${TAKES} guests in a row leave descriptors, threads, processes and memory as they were`,
  async (t) => {
    t.timeout(Math.max(300_000, TAKES * 1000));
    await using dir = await temporaryDirectory();
    const snapshot = dir.file('guest.snapshot');
    await saveGuest({}, snapshot);
    const guests = new PoolGuests(dir);
    const before = childProcesses();
    const names = new Set(readdirSync('/dev/shm'));
    await using pool = await guests.pool(snapshot, { size: 2 });
    const takeMany = async (count: number): Promise<void> => {
      for (let round = 0; round < count; round += 1) {
        await freshGuest(pool, ({ runState }) => runState === 'running' || t.fail(runState));
      }
      await full(pool);
    };
    await takeMany(WARM_UP);
    const heap = heapUsed();
    await assertNoLeak(
      t,
      () => full(pool),
      () => takeMany(TAKES),
    );
    const grown = heapUsed() - heap;
    t.true(grown < MOST_HEAP, `the heap grew by ${grown} bytes`);
    const { taken, died, failed } = pool.health;
    t.deepEqual([taken, died, failed], [TAKES + WARM_UP, 0, 0]);
    t.is(childQemus().length - before.length, 2, 'only those that wait are left');
    await pool.close();
    t.deepEqual(childProcesses(), before);
    t.deepEqual(
      readdirSync('/dev/shm').filter((name) => !names.has(name) && name.startsWith('mapped-ram')),
      [],
    );
  },
);

qemuTest('guests that are taken at once, many times, are all told apart', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  await saveGuest({}, snapshot);
  for (const wait of POOL_WAITS) {
    const guests = new PoolGuests(dir);
    await using pool = await guests.pool(snapshot, { size: 3, refill: 2, wait });
    const live = new Set<number>();
    const worker = async (): Promise<void> => {
      for (let round = 0; round < 5; round += 1) {
        await freshGuest(pool, async ({ index, qemu }) => {
          t.false(live.has(index), `two guests have the number ${index}`);
          live.add(index);
          t.is((await qemu.qmp.execute('query-status')).status, 'running');
          live.delete(index);
        });
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    t.is(pool.health.taken, 20);
  }
});

function full(pool: GuestPool): Promise<void> {
  return untilHealth(pool, ({ waiting, starting }) => waiting === pool.size && starting === 0);
}

/** Bytes of JavaScript's heap that are in use, after a collection. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  collect();
  return process.memoryUsage().heapUsed;
}

test('the count of guests is a number', (t) => t.true(Number.isSafeInteger(TAKES) && TAKES > 0));
