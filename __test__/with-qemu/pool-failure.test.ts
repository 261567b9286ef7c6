import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { MappedRamError } from '../../ts/errors.ts';
import type { GuestPool } from '../../ts/pool/guest-pool.ts';
import type { PoolHealthEvent } from '../../ts/pool/pool-health.ts';
import { POOL_WAITS } from '../../ts/pool/pool-options.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { childProcesses, childQemus, PoolGuests, untilHealth } from '../support/pool-guests.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

let dir: TemporaryDirectory;
let snapshot = '';

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = dir.file('guest.snapshot');
  if (QEMU_MISSING === undefined) await saveGuest({}, snapshot);
});

test.after.always(() => dir[Symbol.asyncDispose]());

function inOrder(pids: readonly number[]): readonly number[] {
  return pids.toSorted((a, b) => a - b);
}

/** The changes that a pool tells from now on. */
function eventsOf(pool: GuestPool): readonly PoolHealthEvent[] {
  const events: PoolHealthEvent[] = [];
  pool.on('health', (event) => events.push(event));
  return events;
}

qemuTest('a QEMU that dies while it waits is told, and replaced', async (t) => {
  for (const wait of POOL_WAITS) {
    const guests = new PoolGuests(dir);
    const before = new Set(childQemus());
    await using pool = await guests.pool(snapshot, { size: 1, wait });
    const events = eventsOf(pool);
    const pid = childQemus().find((child) => !before.has(child)) ?? 0;
    process.kill(pid, 'SIGKILL');
    await untilHealth(pool, ({ died, waiting }) => died === 1 && waiting === 1);
    t.deepEqual(
      events.map(({ change, index }) => [change, index]),
      [
        ['died', 0],
        ['ready', 0],
      ],
    );
    t.regex(String(events[0]?.error?.message), new RegExp(`process ${pid}\\): QEMU was killed by SIGKILL`));
    await using guest = await pool.take();
    await guests.testGuest(guest).assertAlive();
  }
});

qemuTest('who takes a QEMU that is dying gets the next one', async (t) => {
  for (const wait of POOL_WAITS) {
    const guests = new PoolGuests(dir);
    const before = new Set(childQemus());
    await using pool = await guests.pool(snapshot, { size: 1, wait });
    const pid = childQemus().find((child) => !before.has(child)) ?? 0;
    process.kill(pid, 'SIGKILL');
    await using guest = await pool.take();
    t.not(guest.qemu.pid, pid);
    t.is(pool.health.died, 1);
    await guests.testGuest(guest).assertAlive();
  }
});

qemuTest('a pool whose starts fail again and again says so, does not spin, and recovers', async (t) => {
  const guests = new PoolGuests(dir);
  let isBroken = false;
  const asked: number[] = [];
  const args = async (index: number): Promise<readonly string[]> => {
    asked.push(performance.now());
    return [...(await guests.args(index)), ...(isBroken ? ['-device', 'no-such-device'] : [])];
  };
  await using pool = await guests.pool(snapshot, { size: 1, args });
  isBroken = true;
  // The command lines of these two were made before.
  await using first = await pool.take();
  await using second = await pool.take();
  t.not(first.index, second.index);
  const starts = 2;
  const error = await t.throwsAsync(pool.take(), { code: 'ERR_MAPPED_RAM_QEMU' });
  t.true(error instanceof MappedRamError);
  t.regex(error.message, /the pool has no guest: .* \d+ times in a row.*no-such-device/s);
  t.true(pool.health.failed >= 3);
  t.regex(String(pool.health.lastError?.message), /no-such-device/);
  await t.throwsAsync(pool.take(), { code: 'ERR_MAPPED_RAM_QEMU' }, 'the next one is told at once');
  await delay(1500);
  // 100, 200, 400, 800 ms: a fifth try in that time would be a spin.
  t.true(asked.length - starts <= 6, `${asked.length - starts} starts`);
  isBroken = false;
  await untilHealth(pool, ({ waiting }) => waiting === 1);
  await using guest = await pool.take();
  t.is(guest.runState, 'running');
  t.deepEqual([pool.health.failuresInARow, pool.health.lastError], [0, undefined]);
});

qemuTest('what makes the first start fail is refused, and nothing is left', async (t) => {
  const guests = new PoolGuests(dir);
  const before = childProcesses();
  const broken = async (index: number): Promise<readonly string[]> => [
    ...(await guests.args(index)),
    '-device',
    'no-such-device',
  ];
  const once = async (): Promise<void> => {
    await t.throwsAsync(guests.pool(snapshot, { size: 3, args: broken }), {
      code: 'ERR_MAPPED_RAM_QEMU',
      message: /no-such-device/,
    });
    const missing = guests.pool(snapshot, { size: 3, binary: '/no/such/qemu' });
    await t.throwsAsync(missing, { code: 'ERR_MAPPED_RAM_IO', message: /cannot run QEMU/ });
    const daemon = async (index: number): Promise<readonly string[]> => [
      ...(await guests.args(index)),
      '-daemonize',
    ];
    await t.throwsAsync(guests.pool(snapshot, { size: 1, args: daemon }), { message: /-daemonize/ });
  };
  await assertNoLeak(t, once, once);
  t.deepEqual(childProcesses(), before);
});

qemuTest('a disk that a running QEMU has is named when the pool is made', async (t) => {
  await using source = await restoreGuest(snapshot, {}, {});
  const guests = new PoolGuests(dir);
  const disk = `${source.directory}/boot.img`;
  const args = async (index: number): Promise<readonly string[]> =>
    (await guests.args(index)).map((word) =>
      index === 0 ? word.replace(/file=.*boot\.img/, `file=${disk}`) : word,
    );
  const error = await t.throwsAsync(guests.pool(snapshot, { size: 1, args }), {
    code: 'ERR_MAPPED_RAM_BUSY',
  });
  t.regex(error.message, /guest 0: the disk .*boot\.img is in use by another QEMU/);
});

qemuTest('one who gives up, or has waited too long, gets nothing, and the next one gets it', async (t) => {
  const guests = new PoolGuests(dir);
  // One QEMU is started whatever the floor; no other ever is.
  await using pool = await guests.pool(snapshot, { size: 1, minFreeMemory: Number.MAX_SAFE_INTEGER });
  const events = eventsOf(pool);
  const giving = new AbortController();
  await using _ = await pool.take();
  const [given, late] = [pool.take({ signal: giving.signal }), pool.take({ timeoutMs: 300 })];
  t.is(pool.health.queued, 2);
  giving.abort(new Error('enough'));
  await t.throwsAsync(given, { message: 'enough' });
  await t.throwsAsync(late, {
    code: 'ERR_MAPPED_RAM_TIMEOUT',
    message:
      /no guest in time; none is started, because .* has \d+ bytes of memory left, and \d+ are to stay free/,
  });
  await t.throwsAsync(pool.take({ signal: giving.signal }), { message: 'enough' });
  t.deepEqual(
    events.map(({ change }) => change),
    ['taken', 'held-back'],
  );
  t.regex(String(pool.health.heldBack), /to stay free/);
  t.deepEqual([pool.health.queued, pool.health.starting], [0, 0]);
});

qemuTest('closing a pool at any moment leaves nothing of it, whatever the takers do', async (t) => {
  const guests = new PoolGuests(dir);
  const before = childProcesses();
  const closeAfter = async (ms: number, wait: (typeof POOL_WAITS)[number]): Promise<void> => {
    const pool = await guests.pool(snapshot, { size: 2, refill: 2, wait });
    const takes = [1, 2, 3, 4].map(() =>
      pool.take().catch((error: unknown) => {
        t.is(error instanceof MappedRamError ? error.code : error, 'ERR_MAPPED_RAM_CLOSED');
        return undefined;
      }),
    );
    await delay(ms);
    await Promise.all([pool.close(), pool.close()]);
    const taken = (await Promise.all(takes)).flatMap((guest) => guest ?? []);
    // QEMUs that a failed assertion left would keep this process from its end.
    try {
      t.deepEqual(
        inOrder(childProcesses()),
        // A guest that was started first is not always taken first.
        inOrder([...before, ...taken.map(({ qemu }) => qemu.pid)]),
        'only guests that were taken are left',
      );
      for (const { qemu } of taken) t.is((await qemu.qmp.execute('query-status')).status, 'running');
    } finally {
      await Promise.all(taken.map(({ qemu }) => qemu.close()));
    }
  };
  await assertNoLeak(
    t,
    () => closeAfter(300, 'loaded'),
    async () => {
      for (const wait of POOL_WAITS) for (let ms = 0; ms < 120; ms += 12) await closeAfter(ms, wait);
    },
  );
  t.deepEqual(childProcesses(), before);
});

qemuTest('an abort while a pool is made leaves nothing', async (t) => {
  const guests = new PoolGuests(dir);
  const before = childProcesses();
  const abortAfter = async (ms: number): Promise<void> => {
    const giving = new AbortController();
    const timer = delay(ms).then(() => giving.abort(new Error('enough')));
    const pool = await guests
      .pool(snapshot, { size: 2, signal: giving.signal })
      .catch((error: unknown) => t.is(String(error), 'Error: enough'));
    if (typeof pool === 'object') await pool.close();
    await timer;
  };
  await assertNoLeak(
    t,
    () => abortAfter(2000),
    async () => {
      for (let ms = 0; ms < 130; ms += 13) await abortAfter(ms);
    },
  );
  t.deepEqual(childProcesses(), before);
});
