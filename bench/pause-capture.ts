/**
 * Measures the pause of a guest that is taken out of QEMU's process, by QEMU's own clock (from its event STOP to its event
 * RESUME), and the time of the whole save: clones with more and less changed, saved incrementally, and a guest with
 * private memory that is no clone, saved whole. QEMU's writer takes turns with the engine.
 *
 * Verdicts: a clone stands still for 10 ms with next to nothing changed, 40 ms with 64 MiB, 250 ms with 512 MiB; so does a
 * guest with 512 MiB in use that is no clone. What is written is the changed pages and 5 %, and 2 MiB.
 *
 * node --import=@oxc-node/core/register bench/pause-capture.ts [--dir DIR] [--rounds N] [--mib N] [--form FORM] [--no-qemu]
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { type GuestSetup, startGuest, type TestGuest } from '../__test__/support/qemu.ts';
import { restoreGuest } from '../__test__/support/restored-guest.ts';
import { save, type SaveOptions } from '../ts/index.ts';
import { alternate, medianOf } from './measure.ts';
import { printVerdicts } from './verdicts.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '5' },
    mib: { type: 'string', default: '8192' },
    form: { type: 'string', default: 'auto' },
    'no-qemu': { type: 'boolean', default: false },
  },
});
const MIB = 2 ** 20;
const rounds = Number(values.rounds);
const form = values.form === 'delta' || values.form === 'whole' ? values.form : 'auto';

interface Kind {
  readonly name: string;
  readonly setup: GuestSetup;
  readonly isClone: boolean;
  /** The longest pause in milliseconds that the project wants. */
  readonly most: number;
}

function changing(length: number, memoryMiB: number): GuestSetup {
  return { memoryMiB, region: { start: 16 * MIB, length } };
}

const KINDS: readonly Kind[] = [
  { name: 'clone, idle', setup: changing(4096, Number(values.mib)), isClone: true, most: 10 },
  { name: 'clone, 64 MiB', setup: changing(64 * MIB, Number(values.mib)), isClone: true, most: 40 },
  { name: 'clone, 512 MiB', setup: changing(512 * MIB, Number(values.mib)), isClone: true, most: 250 },
  { name: 'private, 512 MiB', setup: changing(512 * MIB, 2048), isClone: false, most: 250 },
];

interface Row {
  readonly kind: Kind;
  readonly pauses: readonly number[];
  readonly totals: readonly number[];
  readonly qemu: readonly number[];
  readonly changedBytes: number;
  readonly inPause: number;
  readonly writtenBytes: number;
}

const disk = await mkdtemp(join(values.dir, 'mapped-ram-bench-'));
const rows: Row[] = [];
try {
  for (const kind of KINDS) rows.push(await measure(kind));
} finally {
  await rm(disk, { recursive: true, force: true });
}

const columns = ['pause ms', 'min', 'max', 'total ms', 'QEMU ms', 'changed', 'in pause', 'written'];
console.log(`${'guest'.padEnd(18)}${columns.map((title) => title.padStart(10)).join('')}`);
for (const { kind, pauses, totals, qemu, changedBytes, inPause, writtenBytes } of rows) {
  const times = [
    medianOf(pauses),
    Math.min(...pauses),
    Math.max(...pauses),
    medianOf(totals),
    medianOf(qemu),
  ];
  const sizes = [changedBytes, inPause, writtenBytes].map((bytes) => (bytes / MIB).toFixed(1));
  const cells = [...times.map((time) => (Number.isNaN(time) ? '–' : time.toFixed(1))), ...sizes];
  console.log(`${kind.name.padEnd(18)}${cells.map((cell) => cell.padStart(10)).join('')}`);
}
printVerdicts(
  rows.flatMap(({ kind, pauses, changedBytes, writtenBytes }) => [
    {
      claim: `${kind.name}: the guest stands still for ${kind.most} ms`,
      figures: `${medianOf(pauses).toFixed(1)} ms`,
      holds: medianOf(pauses) <= kind.most,
    },
    {
      claim: `${kind.name}: the changed pages are written, 5 % and 2 MiB`,
      figures: `${(writtenBytes / MIB).toFixed(1)} of ${(changedBytes / MIB).toFixed(1)} MiB`,
      holds: writtenBytes <= changedBytes * 1.05 + 2 * MIB,
    },
  ]),
);

async function measure(kind: Kind): Promise<Row> {
  const { setup, isClone, name } = kind;
  const base = join(disk, 'base');
  await using guest = isClone ? await cloneOf(base, setup) : await startGuest(setup);
  await guest.waitForGenerations(2);
  const [pauses, totals, qemu]: number[][] = [[], [], []];
  let [changedBytes, inPause, writtenBytes] = [0, 0, 0];
  const engine = async (): Promise<number> => {
    const options = isClone ? ({ base: 'auto', form } as const) : ({ writer: 'engine' } as const);
    const { pause, saved, written } = await saveOnce(guest, options);
    pauses?.push(pause);
    totals?.push(saved.elapsedMs);
    changedBytes = saved.capture?.changedBytes ?? 0;
    inPause = saved.capture?.bytesInPause ?? 0;
    writtenBytes = written;
    return pause;
  };
  const other = async (): Promise<number> => {
    const { pause } = await saveOnce(guest, { writer: 'qemu', live: false });
    qemu?.push(pause);
    return pause;
  };
  const ways = [
    { name: `${name}, engine`, run: engine },
    { name: `${name}, QEMU`, run: other },
  ];
  await alternate(values['no-qemu'] ? ways.slice(0, 1) : ways, rounds);
  await rm(base, { force: true });
  return {
    kind,
    pauses: pauses ?? [],
    totals: totals ?? [],
    qemu: qemu ?? [],
    changedBytes,
    inPause,
    writtenBytes,
  };
}

/** A clone of a guest that has touched nothing but its region. */
async function cloneOf(base: string, setup: GuestSetup): Promise<TestGuest> {
  {
    await using first = await startGuest(setup);
    await first.waitForGenerations(2);
    await save(first.qmp, base, { writer: 'engine' });
  }
  return restoreGuest(base, setup, {});
}

async function saveOnce(
  guest: TestGuest,
  options: SaveOptions,
): Promise<{
  readonly pause: number;
  readonly saved: Awaited<ReturnType<typeof save>>;
  readonly written: number;
}> {
  const target = join(disk, 'snapshot');
  await rm(target, { force: true });
  const events = guest.qmp.events(['STOP', 'RESUME']);
  try {
    const saved = await save(guest.qmp, target, options);
    const [stop, resume] = [await events.next(), await events.next()];
    if (stop.value?.event !== 'STOP' || resume.value?.event !== 'RESUME') {
      throw new Error(`unexpected events: ${stop.value?.event}, ${resume.value?.event}`);
    }
    const { blocks } = await stat(target);
    const pause = resume.value.timestampMs - stop.value.timestampMs;
    return { pause, saved, written: blocks * 512 };
  } finally {
    await events.return();
  }
}
