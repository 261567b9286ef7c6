/**
 * Measures how long a lazy restore takes from `migrate-incoming` to the guest running, with nothing of the snapshot in
 * the page cache: guests of several sizes, with one connection for pages and with two. The ways take turns, and nothing is
 * pushed, so that no pages come beside.
 *
 * Verdicts: no more than 12 ms, and no size takes a third longer than another.
 *
 * node --import=@oxc-node/core/register bench/lazy-start.ts [--dir DIR] [--rounds N] [--mib N,N,…]
 */
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { QEMU_BINARY } from '../__test__/support/qemu-binary.ts';
import { startGuest, type GuestSetup } from '../__test__/support/qemu.ts';
import { guestArgs } from '../__test__/support/qemu-setup.ts';
import { TemporaryDirectory } from '../__test__/support/temporary.ts';
import { dropPageCache } from '../ts/engine/page-cache.ts';
import { writeGuestDisk } from '../ts/guest/write-guest-disk.ts';
import { restore } from '../ts/restore/restore.ts';
import { save } from '../ts/save/save.ts';
import { alternate, medianOf, type Contender } from './measure.ts';
import { printVerdicts } from './verdicts.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '15' },
    mib: { type: 'string', default: '512,2048,8192' },
  },
});
const MIB = 2 ** 20;
const [MOST_MS, MOST_RATIO] = [12, 4 / 3];
const WAYS = [
  { way: 'two connections', preempt: true },
  { way: 'one connection', preempt: false },
] as const;
/** What the guests write: the size of the rest is what matters here. */
const REGION = { start: 16 * MIB, length: 200 * MIB };

await using dir = new TemporaryDirectory(await mkdtemp(join(values.dir, 'mapped-ram-bench-')));
const contenders: Contender[] = [];
const totals = new Map<string, number[]>();
for (const memoryMiB of values.mib.split(',').map(Number)) {
  const setup: GuestSetup = { memoryMiB, region: REGION };
  const folder = dir.file(String(memoryMiB));
  const snapshot = join(folder, 'guest.mr');
  await mkdir(folder);
  await saveGuest(setup, snapshot);
  await writeGuestDisk(join(folder, 'boot.img'), REGION);
  for (const { way, preempt } of WAYS) {
    const name = `${memoryMiB} MiB, ${way}`;
    contenders.push({ name, run: () => loadMs(name, snapshot, guestArgs(setup, folder), preempt) });
  }
}

const measured = await alternate(contenders, Number(values.rounds));
for (const { name, milliseconds, median } of measured) {
  const range = `${Math.min(...milliseconds).toFixed(1)} – ${Math.max(...milliseconds).toFixed(1)}`;
  const total = medianOf(totals.get(name) ?? []).toFixed(0);
  console.log(`${name.padEnd(28)} ${median.toFixed(1)} ms (${range}), the whole of restore ${total} ms`);
}
printVerdicts(
  WAYS.flatMap(({ way }) => {
    const medians = measured.filter(({ name }) => name.endsWith(way)).map(({ median }) => median);
    const [least, most] = [Math.min(...medians), Math.max(...medians)];
    return [
      {
        claim: `${way}: a guest runs ${MOST_MS} ms behind migrate-incoming`,
        figures: `${least.toFixed(1)} to ${most.toFixed(1)} ms`,
        holds: most <= MOST_MS,
      },
      {
        claim: `${way}: no size takes a third longer than another`,
        figures: `${(most / least).toFixed(2)} times`,
        holds: most / least <= MOST_RATIO,
      },
    ];
  }),
);

async function saveGuest(setup: GuestSetup, snapshot: string): Promise<void> {
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(1);
  await guest.stop();
  await save(guest.qmp, snapshot, { after: 'stop', writer: 'engine', guard: 'off' });
}

async function loadMs(
  name: string,
  snapshot: string,
  args: readonly string[],
  preempt: boolean,
): Promise<number> {
  await dropPageCache(snapshot);
  const postcopy = { preempt, push: 'off' } as const;
  await using guest = await restore(snapshot, {
    mode: 'lazy',
    binary: QEMU_BINARY,
    args,
    memory: 'anonymous',
    postcopy,
  });
  totals.set(name, [...(totals.get(name) ?? []), guest.times.totalMs]);
  return guest.times.loadMs;
}
