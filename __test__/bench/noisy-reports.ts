import type { BenchProgram, BenchWork, RoundFigures } from '../../ts/bench/figures.ts';
import type { BenchReport, BenchResult, ContenderResult } from '../../ts/bench/report.ts';
import { summarize } from '../../ts/bench/summary.ts';

/** How times are spread on a made-up machine, as logarithms where nothing else is said. */
export interface Noise {
  /** The spread of a contender's rounds. */
  readonly spread: number;
  /** The share of rounds that something delays. */
  readonly delayed: number;
  /** The mean of these delays. */
  readonly delay: number;
  /** The spread of a contender between two runs: another layout of its file and its memory. */
  readonly run: number;
  /** How far the machine drifts from round to round, for all contenders together. */
  readonly drift: number;
  /** The distance of the two speeds of a disk that has two. */
  readonly disk: number;
  /** How much a busy processor slows the contenders that need it most. */
  readonly busy: number;
}

export const QUIET: Noise = {
  spread: 0.03,
  delayed: 0.02,
  delay: 0.4,
  run: 0.02,
  drift: 0.1,
  disk: 0,
  busy: 0,
};
export const USUAL: Noise = { ...QUIET, spread: 0.05, delayed: 0.05 };

const WORKS: readonly BenchWork[] = ['save', 'load', 'verify', 'diff', 'restore'];
const OURS = ['io_uring, direct', 'io_uring, buffered', 'threads, direct', 'threads, buffered'];
const REFERENCES: readonly (readonly [string, BenchProgram])[] = [
  ['fio', 'fio'],
  ['copy', 'copy'],
  ['QEMU × 2', 'qemu'],
  ['QEMU × 4', 'qemu'],
  ['QEMU × 8', 'qemu'],
];

/** A contender of a made-up machine: the same in both runs. */
interface Actor {
  readonly name: string;
  readonly program: BenchProgram;
  /** How much of the disk's speed, and of the load, it feels. */
  readonly disk: number;
  readonly processor: number;
}

export type Random = () => number;

/** Makes two reports of the same twenty figures; those that `isSlowed` names take `slowdown` times as long in the second. */
export function twoReports(
  random: Random,
  noises: readonly [before: Noise, now: Noise],
  { rounds = 5, slowdown = 1, isSlowed = (): boolean => true }: Planted = {},
): readonly [before: BenchReport, now: BenchReport] {
  const cast = WORKS.map((work) => ({ work, actors: makeActors(random) }));
  const [before, now] = noises.map((noise, run) =>
    reportOf(
      cast.map(({ work, actors }) => {
        const factor = (name: string): number =>
          run === 1 && OURS.includes(name) && isSlowed(work, name) ? slowdown : 1;
        return resultOf(work, actors, timesOf(random, actors, noise, rounds), factor);
      }),
      rounds,
    ),
  );
  if (before === undefined || now === undefined) throw new Error('there are two reports');
  return [before, now];
}

export interface Planted {
  readonly rounds?: number;
  readonly slowdown?: number;
  readonly isSlowed?: (work: BenchWork, name: string) => boolean;
}

/** A generator with a seed (mulberry32), so that a failing test fails again. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function makeActors(random: Random): readonly Actor[] {
  const feel = (): number => 1 + 0.05 * normal(random);
  return [
    ...OURS.map((name) => ({
      name,
      program: 'mapped-ram' as const,
      disk: feel(),
      processor: 0.6 * random(),
    })),
    ...REFERENCES.map(([name, program]) => {
      const processor = program === 'fio' ? 0.3 * random() : 0.2 + 0.6 * random();
      return { name, program, disk: feel(), processor };
    }),
  ];
}

/** The probability that a disk of two speeds takes the other one before a round, and before each turn in it. */
const SWITCHES = { beforeRound: 0.2, beforeTurn: 0.1 };

/**
 * Times by contender and round, in milliseconds. Contenders of a round share the machine's drift, and the disk's speed as
 * far as that does not change between their turns.
 */
function timesOf(
  random: Random,
  actors: readonly Actor[],
  noise: Noise,
  rounds: number,
): readonly (readonly number[])[] {
  const usual = actors.map(() => noise.run * normal(random));
  let [isSlowDisk, drift] = [random() < 0.5, 0];
  const byRound = Array.from({ length: rounds }, () => {
    if (random() < SWITCHES.beforeRound) isSlowDisk = !isSlowDisk;
    drift = 0.8 * drift + noise.drift * normal(random);
    return inTurns(random, actors, ({ disk, processor }, index) => {
      if (random() < SWITCHES.beforeTurn) isSlowDisk = !isSlowDisk;
      const own = (usual[index] ?? 0) + noise.spread * normal(random);
      const delay = random() < noise.delayed ? -noise.delay * Math.log(1 - random()) : 0;
      const shared = drift * disk + (isSlowDisk ? noise.disk * disk : 0);
      const busy = noise.busy * processor * (random() < 0.3 ? 1.5 : 1);
      return 1000 * Math.exp(own + delay + shared + busy);
    });
  });
  return actors.map((_, index) => byRound.map((times) => times[index] ?? NaN));
}

/** Maps contenders in an order of this round's own, as the bench lets them take turns; the result has the usual order. */
function inTurns<T, R>(random: Random, all: readonly T[], map: (one: T, index: number) => R): readonly R[] {
  const first = Math.floor(random() * all.length);
  const results = new Map<number, R>();
  for (let turn = 0; turn < all.length; turn += 1) {
    const index = (first + turn) % all.length;
    const one = all[index];
    if (one !== undefined) results.set(index, map(one, index));
  }
  return all.flatMap((_, index) => {
    const result = results.get(index);
    return result === undefined ? [] : [result];
  });
}

function resultOf(
  work: BenchWork,
  actors: readonly Actor[],
  times: readonly (readonly number[])[],
  factor: (name: string) => number,
): BenchResult {
  const contenders = actors.map(({ name, program }, index) =>
    contenderOf(
      name,
      program,
      (times[index] ?? []).map((time) => time * factor(name)),
    ),
  );
  return { size: 2 ** 31, work, memory: 'random', file: 'cold', contenders };
}

export function contenderOf(
  name: string,
  program: BenchProgram,
  milliseconds: readonly number[],
): ContenderResult {
  const rounds = milliseconds.map((time): RoundFigures => ({
    milliseconds: time,
    bytes: 2 ** 31,
    dataBytes: 2 ** 31,
  }));
  const isReference = program !== 'mapped-ram';
  return { name, program, isReference, settings: { directIo: true }, rounds, summary: summarize(rounds) };
}

export function reportOf(results: readonly BenchResult[], rounds: number): BenchReport {
  return {
    schemaVersion: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    elapsedMs: 60_000,
    machine: {
      kernel: '6.12.0',
      architecture: 'x64',
      cpu: 'a made-up one',
      processors: 2,
      memory: 2 ** 34,
      filesystem: 'ext4',
      device: 'nvme0n1',
      load: 0.5,
      node: '20.19.0',
      mappedRam: '0.1.0',
      qemu: '10.0.2',
      fio: '3.33',
    },
    settings: {
      directory: '/data',
      sizes: [...new Set(results.map(({ size }) => size))],
      rounds,
      transfer: {},
    },
    results,
    skipped: [],
  };
}

/** A number of the standard normal distribution, after Box and Muller. */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
