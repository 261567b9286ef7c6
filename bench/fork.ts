/**
 * Measures how long a fork takes: from the call until the first clone runs, and until all do; and for how long the
 * source stands still. Forks whose QEMUs wait (`prepareFork`) and forks that start theirs take turns. The sources are
 * clones, which change next to nothing, or rewrite 4 MiB all the time, and a guest whose memory is its own.
 *
 * Verdicts: 4 clones of a guest that has changed next to nothing all run 100 ms after the call, 8 clones of one that has
 * changed 4 MiB 200 ms after it, with QEMUs that wait.
 *
 * node --import=@oxc-node/core/register bench/fork.ts [--dir DIR] [--rounds N] [--mib N]
 */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { ForkRig, type SourceKind } from '../__test__/support/fork-rig.ts';
import { TemporaryDirectory } from '../__test__/support/temporary.ts';
import type { Fork } from '../ts/fork/forked-guest.ts';
import { alternate, medianOf } from './measure.ts';
import { printVerdicts } from './verdicts.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '7' },
    mib: { type: 'string', default: '2048' },
  },
});
const MIB = 2 ** 20;

interface Work {
  readonly name: string;
  readonly kind: SourceKind;
  readonly clones: number;
  /** Bytes that the guest rewrites all the time. */
  readonly rewrites: number;
  readonly isWarm: boolean;
  /** The most milliseconds until all run. */
  readonly most?: number;
}

const few = 64 * 1024;
const WORKS: readonly Work[] = [
  { name: 'idle clone, 4, warm', kind: 'clone', clones: 4, rewrites: few, isWarm: true, most: 100 },
  { name: '4 MiB clone, 8, warm', kind: 'clone', clones: 8, rewrites: 4 * MIB, isWarm: true, most: 200 },
  { name: 'idle clone, 4, cold', kind: 'clone', clones: 4, rewrites: few, isWarm: false },
  { name: 'fresh guest, 4, warm', kind: 'fresh', clones: 4, rewrites: 4 * MIB, isWarm: true },
];

await using dir = new TemporaryDirectory(await mkdtemp(join(values.dir, 'mapped-ram-bench-')));
const forks = new Map<string, Fork[]>();
const measured = await alternate(
  WORKS.map((work) => ({ name: work.name, run: () => timeOf(work) })),
  Number(values.rounds),
);

const columns = ['all run ms', 'first ms', 'capture ms', 'load ms', 'pause ms', 'KiB'];
console.log(`${'what'.padEnd(24)}${columns.map((title) => title.padStart(12)).join('')}`);
for (const { name, median } of measured) {
  const seen = forks.get(name) ?? [];
  const of = (figure: (fork: Fork) => number | undefined): number =>
    medianOf(seen.map((fork) => figure(fork) ?? Number.NaN));
  const row = [
    median,
    of(({ times }) => times.firstMs),
    of(({ times }) => times.captureMs),
    of(({ times }) => times.loadMs),
    of(({ pauseMs }) => pauseMs),
    of(({ bytes }) => bytes / 1024),
  ];
  console.log(`${name.padEnd(24)}${row.map((value) => value.toFixed(0).padStart(12)).join('')}`);
}
printVerdicts(
  WORKS.flatMap(({ name, clones, most }) => {
    const median = measured.find((one) => one.name === name)?.median ?? Number.NaN;
    if (most === undefined) return [];
    const claim = `all ${clones} clones run ${most} ms after the call (${name})`;
    return [{ claim, figures: `${median.toFixed(0)} ms at the median`, holds: median <= most }];
  }),
);

/** Forks once. @returns the milliseconds from the call until all clones ran */
async function timeOf({ name, kind, clones, rewrites, isWarm }: Work): Promise<number> {
  const setup = { memoryMiB: Number(values.mib), region: { start: 16 * MIB, length: rewrites } };
  await using rig = await ForkRig.start(kind, dir, setup);
  await using slots = isWarm ? await rig.prepare(clones) : undefined;
  await using forked = await (slots === undefined ? rig.fork(clones) : slots.fork());
  forks.set(name, [...(forks.get(name) ?? []), forked]);
  return forked.times.totalMs;
}
