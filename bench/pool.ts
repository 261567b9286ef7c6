/**
 * Measures how long a guest takes out of a pool: from the call of `take` to the guest running, while a QEMU waits with
 * the guest loaded, or with the snapshot mapped, against a plain `restore`. The three take turns, and a pool is full
 * before each of its takes. Then each pool is taken from without a pause, which says how many guests a second it gives.
 * The private memory of a QEMU that waits comes with it.
 *
 * Verdicts: a take needs 20 ms or less at the median and 60 ms or less at the 95th percentile, for each kind of waiting.
 *
 * node --import=@oxc-node/core/register bench/pool.ts [--dir DIR] [--takes N] [--mib N] [--size N] [--burst N]
 */
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { childProcesses, PoolGuests, untilHealth } from '../__test__/support/pool-guests.ts';
import { QEMU_BINARY } from '../__test__/support/qemu-binary.ts';
import { saveGuest } from '../__test__/support/restored-guest.ts';
import { TemporaryDirectory } from '../__test__/support/temporary.ts';
import type { GuestPool } from '../ts/pool/guest-pool.ts';
import { POOL_WAITS, type PoolWait } from '../ts/pool/pool-options.ts';
import { restore, type RestoredGuest } from '../ts/restore/restore.ts';
import { alternate, type Measurement, medianOf } from './measure.ts';
import { printVerdicts } from './verdicts.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    takes: { type: 'string', default: '200' },
    mib: { type: 'string', default: '2048' },
    size: { type: 'string', default: '2' },
    burst: { type: 'string', default: '50' },
  },
});
const MIB = 2 ** 20;
const MOST = { median: 20, p95: 60 };
const setup = { memoryMiB: Number(values.mib) };
const size = Number(values.size);

interface Waiting {
  readonly wait: PoolWait;
  readonly pool: GuestPool;
  /** Private memory of a QEMU that waits, in bytes. */
  readonly privateBytes: number;
}

const loads = new Map<string, number[]>();
const rates = new Map<PoolWait, number>();
const waiting: Waiting[] = [];
await using dir = new TemporaryDirectory(await mkdtemp(join(values.dir, 'mapped-ram-bench-')));
const snapshot = dir.file('guest.snapshot');
await saveGuest(setup, snapshot);
let measured: readonly Measurement[] = [];
try {
  for (const wait of POOL_WAITS) waiting.push(await startPool(wait));
  const guests = new PoolGuests(new TemporaryDirectory(dir.file('plain')), setup);
  const args = await guests.args(0);
  measured = await alternate(
    [
      ...waiting.map(({ wait, pool }) => ({
        name: wait,
        run: async () => {
          await full(pool);
          return timeOf(wait, await pool.take());
        },
      })),
      {
        name: 'restore',
        run: async () => timeOf('restore', await restore(snapshot, { binary: QEMU_BINARY, args })),
      },
    ],
    Number(values.takes),
  );
  for (const { wait, pool } of waiting) rates.set(wait, await rateOf(pool));
} finally {
  await Promise.all(waiting.map(({ pool }) => pool.close()));
}

const columns = ['median ms', 'p95 ms', 'max ms', 'load ms', 'guests/s', 'private'];
console.log(`${'way'.padEnd(10)}${columns.map((title) => title.padStart(11)).join('')}`);
for (const { name, milliseconds, median } of measured) {
  const found = waiting.find(({ wait }) => wait === name);
  const rate = found && rates.get(found.wait);
  const row = [
    median.toFixed(1),
    percentile(milliseconds, 0.95).toFixed(1),
    Math.max(...milliseconds).toFixed(1),
    medianOf(loads.get(name) ?? []).toFixed(1),
    rate === undefined ? '–' : rate.toFixed(1),
    found === undefined ? '–' : `${(found.privateBytes / MIB).toFixed(1)} MiB`,
  ];
  console.log(`${name.padEnd(10)}${row.map((cell) => cell.padStart(11)).join('')}`);
}
printVerdicts(
  measured
    .filter(({ name }) => name !== 'restore')
    .map(({ name, milliseconds, median }) => {
      const p95 = percentile(milliseconds, 0.95);
      return {
        claim: `a take out of a pool that waits ${name} needs ${MOST.median} ms at the median, ${MOST.p95} ms at p95`,
        figures: `${median.toFixed(1)} ms and ${p95.toFixed(1)} ms of ${milliseconds.length} takes`,
        holds: median <= MOST.median && p95 <= MOST.p95,
      };
    }),
);

async function startPool(wait: PoolWait): Promise<Waiting> {
  const before = new Set(childProcesses());
  const guests = new PoolGuests(new TemporaryDirectory(dir.file(wait)), setup);
  const pool = await guests.pool(snapshot, { size, wait });
  await full(pool);
  const mine = childProcesses().filter((pid) => !before.has(pid));
  return { wait, pool, privateBytes: medianOf(await Promise.all(mine.map((pid) => privateOf(pid)))) };
}

function full(pool: GuestPool): Promise<void> {
  return untilHealth(pool, (health) => health.waiting === size && health.starting === 0);
}

/** Ends the guest. @returns the milliseconds that it took to come */
async function timeOf(name: string, guest: RestoredGuest): Promise<number> {
  loads.set(name, [...(loads.get(name) ?? []), guest.times.loadMs]);
  await guest[Symbol.asyncDispose]();
  return guest.times.totalMs;
}

/** Guests a second, when each is ended as soon as it runs. */
async function rateOf(pool: GuestPool): Promise<number> {
  const burst = Number(values.burst);
  await full(pool);
  const startedAt = performance.now();
  for (let taken = 0; taken < burst; taken += 1) await (await pool.take())[Symbol.asyncDispose]();
  return burst / ((performance.now() - startedAt) / 1000);
}

/** Bytes that only this process has. */
async function privateOf(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1');
  return [...rollup.matchAll(/^Private_\w+: +(\d+) kB$/gm)].reduce(
    (sum, [, kib]) => sum + Number(kib) * 1024,
    0,
  );
}

function percentile(all: readonly number[], part: number): number {
  const sorted = all.toSorted((left, right) => left - right);
  return sorted[Math.ceil(part * sorted.length) - 1] ?? Number.NaN;
}
