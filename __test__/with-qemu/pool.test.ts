import { open } from 'node:fs/promises';

import test from 'ava';

import { lockFile } from '../../ts/engine/file-lock.ts';
import { createPool } from '../../ts/pool/create-pool.ts';
import { POOL_WAITS } from '../../ts/pool/pool-options.ts';
import { freshGuest, resetEach } from '../../ts/pool/fresh-guest.ts';
import type { PoolHealthEvent } from '../../ts/pool/pool-health.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { PoolGuests, untilHealth } from '../support/pool-guests.ts';
import { QEMU_BINARY, QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

let dir: TemporaryDirectory;
let snapshot = '';

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = dir.file('guest.snapshot');
  if (QEMU_MISSING === undefined) await saveGuest({}, snapshot);
});

test.after.always(() => dir[Symbol.asyncDispose]());

for (const wait of POOL_WAITS) {
  qemuTest(`guests of a pool that waits ${wait} begin alike, and go on each for itself`, async (t) => {
    const guests = new PoolGuests(dir);
    await using pool = await guests.pool(snapshot, { size: 2, wait, after: 'stop' });
    const first = guests.testGuest(await pool.take());
    const second = guests.testGuest(await pool.take());
    const third = await pool.take();
    t.is(third.runState, 'paused');
    const all = [first, second, guests.testGuest(third)];
    const started: number[] = [];
    for (const guest of all) started.push((await guest.checkMemory()).generation);
    t.is(new Set(started).size, 1, started.join());
    const alive = await first.assertAlive();
    t.true(alive.generation > (started[0] ?? 0));
    t.is((await second.checkMemory()).generation, started[1] ?? 0, 'no guest sees what others write');
    await untilHealth(pool, ({ waiting }) => waiting === 2);
    const { taken, died, failed, starting, queued, heldBack } = pool.health;
    t.deepEqual([taken, died, failed, starting, queued, heldBack], [3, 0, 0, 0, 0, undefined]);
    for (const { qemu } of all) await qemu.close();
  });

  qemuTest(`a guest of a pool that waits ${wait} is what restore gives, and runs`, async (t) => {
    const guests = new PoolGuests(dir);
    await using pool = await guests.pool(snapshot, { size: 1, wait });
    await using guest = await pool.take();
    t.is(guest.runState, 'running');
    t.is(guest.mode, 'instant');
    t.is(guest.index, 0);
    t.deepEqual(guest.blocks, ['pc.ram']);
    t.true(guest.locked);
    t.deepEqual(guest.warnings, []);
    t.is(guest.times.startMs, 0);
    t.true(guest.times.loadMs > 0);
    t.true(guest.times.totalMs >= guest.times.loadMs);
    t.true(guest.args.includes('-incoming'));
    await guests.testGuest(guest).assertAlive();
  });
}

qemuTest('the state that guests are to have is kept to, also the one that was saved', async (t) => {
  for (const wait of POOL_WAITS) {
    const guests = new PoolGuests(dir);
    await using pool = await guests.pool(snapshot, { size: 1, wait, after: 'as-saved' });
    await using guest = await pool.take();
    // The guest was stopped when QEMU saved it.
    t.is(guest.runState, 'paused', wait);
  }
});

qemuTest('who comes first is served first, and no two guests have one number', async (t) => {
  const guests = new PoolGuests(dir);
  await using pool = await guests.pool(snapshot, { size: 1 });
  const order: number[] = [];
  const takes = [0, 1, 2, 3, 4, 5].map(async (place) => {
    const guest = await pool.take();
    order.push(place);
    return guest;
  });
  const all = await Promise.all(takes);
  t.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  t.is(new Set(all.map(({ index }) => index)).size, 6);
  t.is(new Set(all.map(({ qemu }) => qemu.pid)).size, 6);
  await Promise.all(all.map(({ qemu }) => qemu.close()));
  await untilHealth(pool, ({ waiting }) => waiting === 1);
  t.true(Math.max(...guests.asked) < 8, 'numbers are used again');
});

qemuTest('a number is free again when its guest has ended', async (t) => {
  const guests = new PoolGuests(dir);
  await using pool = await guests.pool(snapshot, { size: 1 });
  for (let round = 0; round < 5; round += 1) await (await pool.take()).qemu.close();
  t.true(Math.max(...guests.asked) <= 2, guests.asked.join());
});

qemuTest('every change of a pool is told, with counts', async (t) => {
  const guests = new PoolGuests(dir);
  const pool = await guests.pool(snapshot, { size: 1 });
  const events: PoolHealthEvent[] = [];
  pool.on('health', (event) => {
    events.push(event);
    throw new Error('a listener decides nothing');
  });
  await using guest = await pool.take();
  await untilHealth(pool, ({ waiting }) => waiting === 1);
  await pool.close();
  t.deepEqual(
    events.map(({ change, index, waiting, taken, isClosed }) => [change, index, waiting, taken, isClosed]),
    [
      ['taken', 0, 0, 1, false],
      ['ready', 1, 1, 1, false],
      ['closed', undefined, 0, 1, true],
    ],
  );
  t.is((await guest.qemu.qmp.execute('query-status')).status, 'running', "a taken guest is the caller's");
  await t.throwsAsync(pool.take(), { code: 'ERR_MAPPED_RAM_CLOSED' });
});

qemuTest('nobody writes into the snapshot while there is a pool, and anybody afterwards', async (t) => {
  const guests = new PoolGuests(dir);
  await using writer = await open(snapshot, 'r+');
  const pool = await guests.pool(snapshot, { size: 1 });
  t.throws(() => lockFile(writer.fd, 'exclusive', snapshot), { message: /guests run from it/ });
  await pool.close();
  t.true(lockFile(writer.fd, 'exclusive', snapshot));
});

qemuTest('an open snapshot stays open when its pool is closed', async (t) => {
  const guests = new PoolGuests(dir);
  await using opened = await Snapshot.open(snapshot);
  const pool = await createPool(opened, { binary: QEMU_BINARY, args: guests.args, size: 1 });
  await freshGuest(pool, ({ runState }) => t.is(runState, 'running'));
  await pool.close();
  t.true((await opened.info()).complete);
});

qemuTest('each test has a guest of its own, which ends with the test', async (t) => {
  const guests = new PoolGuests(dir);
  await using pool = await guests.pool(snapshot, { size: 1 });
  const hooks: (() => Promise<void>)[] = [];
  const add = (hook: () => Promise<void>): number => hooks.push(hook);
  const each = resetEach(() => pool, { beforeEach: add, afterEach: add });
  const [before, after] = hooks;
  t.throws(() => each.guest, { code: 'ERR_MAPPED_RAM_CLOSED' });
  const generations: number[] = [];
  const pids: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    await before?.();
    await t.throwsAsync(before?.() ?? Promise.resolve(), { code: 'ERR_MAPPED_RAM_BUSY' });
    const { guest } = each;
    const inside = guests.testGuest(guest);
    generations.push((await inside.checkMemory()).generation);
    await inside.assertAlive();
    await after?.();
    t.false(guest.qemu.qmp.isOpen);
    pids.push(guest.qemu.pid);
  }
  t.is(new Set(pids).size, 3);
  // A guest runs for a moment before it is stopped here, and has not come far.
  t.true(Math.max(...generations) - Math.min(...generations) < 20, generations.join());
  await after?.();
});

qemuTest('work with a fresh guest gives its result or its error, and ends the guest', async (t) => {
  const guests = new PoolGuests(dir);
  await using pool = await guests.pool(snapshot, { size: 1 });
  const pid = await freshGuest(pool, ({ qemu }) => qemu.pid);
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  let failing = 0;
  const work = freshGuest(pool, ({ qemu }) => {
    failing = qemu.pid;
    throw new Error('the work failed');
  });
  await t.throwsAsync(work, { message: 'the work failed' });
  t.throws(() => process.kill(failing, 0), { code: 'ESRCH' });
});
