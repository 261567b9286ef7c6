/**
 * Measures what a working set gains: from the call of `restore`, with nothing of the snapshot in the page cache, to a
 * guest that has walked its pages, which lie scattered over its memory; with the record, and without it, in the modes
 * `instant` and `lazy`. A third way of each has the whole snapshot in the page cache, and shows what is left without a
 * disk. The ways take turns. `faults` are page faults of QEMU that waited for the disk, which other work on the machine
 * does not change as it does times; `asked` are pages that QEMU asked the page server for.
 *
 * The memory between the pages is full of random data, as that of a guest that has run for a while: a snapshot with
 * holes there would have the pages side by side on the disk.
 *
 * Verdicts: with the record the walk is done at least twice as fast as without, in both modes; and with `lazy` no later
 * than with `instant`.
 *
 * node --import=@oxc-node/core/register bench/working-set.ts [--dir DIR] [--rounds N] [--mib N] [--span N]
 *   [--record lazy|instant]
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { QEMU_BINARY } from '../__test__/support/qemu-binary.ts';
import { startGuest, type GuestSetup } from '../__test__/support/qemu.ts';
import { guestArgs } from '../__test__/support/qemu-setup.ts';
import { TemporaryDirectory } from '../__test__/support/temporary.ts';
import { CpuTime } from '../ts/bench/meter/cpu-time.ts';
import { untilWalkedTo, walkPlace, type WalkPlace } from '../ts/bench/restore/working-set.ts';
import { dropPageCache, readAhead } from '../ts/engine/page-cache.ts';
import { GUEST_PAGE_SIZE, guestPageAddress, guestRegion } from '../ts/guest/guest-region.ts';
import { writeGuestDisk } from '../ts/guest/write-guest-disk.ts';
import { restore, type RestoreOptions } from '../ts/restore/restore.ts';
import { save } from '../ts/save/save.ts';
import { recordWorkingSet } from '../ts/working-set/record-working-set.ts';
import { alternate, medianOf } from './measure.ts';
import { printVerdicts } from './verdicts.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '5' },
    mib: { type: 'string', default: '200' },
    span: { type: 'string', default: '1024' },
    record: { type: 'string', default: 'lazy' },
  },
});
const MIB = 2 ** 20;
const AT_LEAST = 2;
const START = 16 * MIB;
const region = { start: START, length: Number(values.mib) * MIB, span: Number(values.span) * MIB };
const never = new AbortController().signal;

interface Walk {
  /** Milliseconds to the guest running. */
  readonly running: number;
  readonly aheadBytes: number | undefined;
  /** Page faults of QEMU that waited for the disk. */
  readonly faults: number;
  /** Pages that QEMU asked for. */
  readonly asked: number | undefined;
  /** Milliseconds of processor time of QEMU. */
  readonly cpuMs: number | undefined;
}

/** Pages of 4 KiB and no file on a disk, of which no page could come later. */
const LAZY = { mode: 'lazy', memory: 'anonymous' } as const;
await using dir = new TemporaryDirectory(await mkdtemp(join(values.dir, 'mapped-ram-bench-')));
const setup: GuestSetup = {
  memoryMiB: (START + region.span) / MIB + 48,
  backend: 'file',
  share: true,
  memPathDir: dir.path,
  region,
};
const snapshot = dir.file('guest.snapshot');
const args = guestArgs(setup, dir.path);
const goal = await saveScattered();
await dropPageCache(snapshot);
await record();

const walks = new Map<string, Walk[]>();
const measured = await alternate(
  [
    { name: 'instant', run: () => walk('instant', { workingSet: 'off' }) },
    { name: 'instant, record', run: () => walk('instant, record', {}) },
    { name: 'instant, cached', run: () => walk('instant, cached', { workingSet: 'off' }, readWhole) },
    { name: 'lazy', run: () => walk('lazy', { ...LAZY, workingSet: 'off' }) },
    { name: 'lazy, record', run: () => walk('lazy, record', LAZY) },
    { name: 'lazy, cached', run: () => walk('lazy, cached', { ...LAZY, workingSet: 'off' }, readWhole) },
  ],
  Number(values.rounds),
);

const columns = ['median ms', 'min', 'max', 'running', 'QEMU CPU', 'faults', 'asked', 'read ahead'];
console.log(`${'way'.padEnd(16)}${columns.map((title) => title.padStart(12)).join('')}`);
for (const { name, milliseconds, median } of measured) {
  const own = walks.get(name) ?? [];
  const row = [
    median.toFixed(0),
    Math.min(...milliseconds).toFixed(0),
    Math.max(...milliseconds).toFixed(0),
    medianOf(own.map(({ running }) => running)).toFixed(0),
    medianOf(own.flatMap(({ cpuMs }) => cpuMs ?? [])).toFixed(0),
    medianOf(own.map(({ faults }) => faults)).toFixed(0),
    own[0]?.asked === undefined ? '–' : medianOf(own.map(({ asked = 0 }) => asked)).toFixed(0),
    mib(own[0]?.aheadBytes),
  ];
  console.log(`${name.padEnd(16)}${row.map((cell) => cell.padStart(12)).join('')}`);
}
printVerdicts([
  ...(['instant', 'lazy'] as const).map((mode) => {
    const ratio = ratioOf(mode, `${mode}, record`);
    return {
      claim: `${mode}: with the record the walk is done at least ${AT_LEAST} times as fast`,
      figures: figuresOf(ratio),
      holds: ratio >= AT_LEAST,
    };
  }),
  {
    claim: 'without a record the walk is done no later with lazy than with instant',
    figures: figuresOf(ratioOf('instant', 'lazy')),
    holds: ratioOf('instant', 'lazy') >= 1,
  },
]);

/** Records what the guest touches: page by page by default, or with what the kernel maps around its pages. */
async function record(): Promise<void> {
  const exactly = { ...LAZY, postcopy: { push: 'off' } } as const;
  const how = values.record === 'instant' ? {} : exactly;
  await using guest = await restore(snapshot, { binary: QEMU_BINARY, args, workingSet: 'off', ...how });
  await untilWalkedTo(guest.qemu.qmp, goal, never);
  const { bytes } = await recordWorkingSet(guest.qemu.qmp, snapshot);
  const { length } = await readFile(`${snapshot}.working-set`);
  console.log(
    `${values.mib} MiB of pages scattered over ${values.span} MiB; recorded ${mib(bytes)} in ${(length / 1024).toFixed(0)} KiB`,
  );
}

/** How many times as fast one way is as another, the median of the rounds. */
function ratioOf(slow: string, fast: string): number {
  const times = timesOf(fast);
  return medianOf(timesOf(slow).map((time, round) => time / (times[round] ?? Number.NaN)));
}

function timesOf(way: string): readonly number[] {
  return measured.find(({ name }) => name === way)?.milliseconds ?? [];
}

function figuresOf(ratio: number): string {
  return `${ratio.toFixed(2)} times, the median of ${values.rounds} rounds`;
}

/** Saves a guest that has walked its pages once. Returns the place at which it has walked them once more. */
async function saveScattered(): Promise<WalkPlace> {
  await using guest = await startGuest(setup);
  await untilWalkedTo(guest.qmp, { generation: 2, page: 0 }, never);
  await guest.stop();
  await fillBetween(dir.file('m0.ram'));
  await save(guest.qmp, snapshot, { after: 'stop', writer: 'engine', guard: 'off' });
  const place = await walkPlace(guest.qmp, never);
  await rm(dir.file('m0.ram'));
  await writeGuestDisk(dir.file('boot.img'), region);
  if (place === undefined) throw new Error('the guest is gone');
  return { generation: place.generation + 1, page: place.page };
}

/** Fills the memory between the guest's pages, in which it never looks, with random data. */
async function fillBetween(path: string): Promise<void> {
  const whole = guestRegion(region);
  const isWalked = new Uint8Array(region.span / GUEST_PAGE_SIZE);
  for (let page = 0; page < whole.pages; page += 1) {
    isWalked[(guestPageAddress(whole, page) - START) / GUEST_PAGE_SIZE] = 1;
  }
  const noise = randomBytes(MIB);
  await using file = await open(path, 'r+');
  for (let slot = 0; slot < isWalked.length;) {
    const next = isWalked.indexOf(1, slot);
    const length = Math.min((next === -1 ? isWalked.length : next) - slot, MIB / GUEST_PAGE_SIZE);
    if (length > 0) await file.write(noise, 0, length * GUEST_PAGE_SIZE, START + slot * GUEST_PAGE_SIZE);
    slot += Math.max(length, 1);
  }
}

/** Restores the guest out of a snapshot that is not cached, and lets it walk. Returns the milliseconds for both. */
async function walk(
  name: string,
  options: Pick<RestoreOptions, 'workingSet' | 'mode' | 'memory'>,
  before: () => Promise<void> = async () => undefined,
): Promise<number> {
  await dropPageCache(snapshot);
  await before();
  const startedAt = performance.now();
  await using guest = await restore(snapshot, { binary: QEMU_BINARY, args, ...options });
  const running = performance.now() - startedAt;
  await untilWalkedTo(guest.qemu.qmp, goal, never);
  const milliseconds = performance.now() - startedAt;
  const cpuMs = new CpuTime(guest.qemu.pid, 'start').end();
  const faults = await majorFaults(guest.qemu.pid);
  const asked = guest.memory?.progress().requests;
  const own = { running, cpuMs, faults, asked, aheadBytes: guest.workingSet?.bytes };
  walks.set(name, [...(walks.get(name) ?? []), own]);
  return milliseconds;
}

/** Page faults for which a process has waited for the disk: the 12th field of its stat, the 10th behind the name. */
async function majorFaults(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[9]);
}

async function readWhole(): Promise<void> {
  await using file = await open(snapshot);
  const { size } = await file.stat();
  await readAhead(file.fd, snapshot, [0, size]);
  // Pages that are still on their way would count for the walk.
  const piece = Buffer.allocUnsafe(MIB);
  for (let at = 0; at < size; at += MIB) await file.read(piece, 0, MIB, at);
}

function mib(bytes: number | undefined): string {
  return bytes === undefined ? '–' : `${(bytes / MIB).toFixed(0)} MiB`;
}
