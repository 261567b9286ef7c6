import { MappedRamError } from '../errors.ts';
import { assertOptions } from '../io/assert-options.ts';
import { inWords } from '../io/in-words.ts';
import { assertWord } from '../io/option-words.ts';
import {
  BENCH_WORKS,
  FILE_STATES,
  MEMORY_PATTERNS,
  type BenchWork,
  type FileState,
  type MemoryPattern,
} from './figures.ts';
import { assertBenchTransfer } from './ours/assert-transfer.ts';
import type { BenchTransfer } from './ours/job.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
export const SMALLEST_BENCH: number = 16 * MIB;
export const MOST_ROUNDS = 99;
export const USUAL_ROUNDS = 5;
/** The most sizes of one bench. */
export const MOST_SIZES = 8;

export interface BenchOptions {
  /** The directory on the disk to be measured. @default the current one */
  readonly directory?: string | undefined;
  /**
   * Bytes of guest memory: whole MiB, at least 16 MiB. A list of up to 8 different sizes is measured one after the other,
   * in its order, for one report. @default 1 GiB
   */
  readonly size?: number | readonly number[] | undefined;
  /** Rounds that count, 1 to 99; one more warms up before them. Fewer than 5 say little. @default 5 */
  readonly rounds?: number | undefined;
  /** Contents of guest memory. @default ['random'] */
  readonly memory?: readonly MemoryPattern[] | undefined;
  /** States in which a round finds the file that it reads; a save writes a new one and is measured once. @default ['cold'] */
  readonly file?: readonly FileState[] | undefined;
  /** @default all kinds of work */
  readonly work?: readonly BenchWork[] | undefined;
  /** Name or path of QEMU, which must then be usable. @default `$MAPPED_RAM_QEMU`, or `qemu-system-…` for this machine's architecture */
  readonly qemu?: string | undefined;
  /** Options of moving pages that all of this package's contenders are told. @default {} */
  readonly transfer?: BenchTransfer | undefined;
  /** True to also try channels, queue depths and request sizes. @default false */
  readonly sweep?: boolean | undefined;
  /** Ends the bench early; nothing is left behind. */
  readonly signal?: AbortSignal | undefined;
  /** Called when files are made, and after every turn of a contender. An error that it throws ends the bench. */
  readonly onProgress?: ((progress: BenchProgress) => void) | undefined;
}

/** How far a bench has come. */
export interface BenchProgress {
  /**
   * The work in words: `save, random`, `load, random, cold`, `make files, random`; of several sizes with the size at its
   * end.
   */
  readonly title: string;
  /** The contender that had its turn; undefined while files are made. */
  readonly contender?: string | undefined;
  /** 1 or more; 0 for the round that warms up, in which system calls are counted. */
  readonly round?: number | undefined;
  /** Milliseconds of the turn, where it was timed. */
  readonly milliseconds?: number | undefined;
}

/** Options with their defaults. */
export interface CheckedBenchOptions {
  readonly directory: string;
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly memory: readonly MemoryPattern[];
  readonly file: readonly FileState[];
  readonly work: readonly BenchWork[];
  readonly qemu: string | undefined;
  readonly transfer: BenchTransfer;
  readonly sweep: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: BenchProgress) => void;
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT */
export function checkedBenchOptions(options: BenchOptions): CheckedBenchOptions {
  assertOptions(options);
  const { size = GIB, rounds = USUAL_ROUNDS, transfer = {} } = options;
  const { memory = ['random'], file = ['cold'], work = BENCH_WORKS } = options;
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MOST_ROUNDS) {
    throw refused('rounds', `a whole number from 1 to ${MOST_ROUNDS}`, rounds);
  }
  assertBenchTransfer(transfer);
  const { directory, qemu, sweep, onProgress } = checkedKinds(options);
  const { channels, queueDepth, requestSize, ioEngine, directIo } = transfer;
  const works = words('work', work, BENCH_WORKS);
  if (sweep && !works.some((kind) => kind === 'save' || kind === 'load')) {
    throw refused('sweep', 'save or load among the works, which a sweep is of', works);
  }
  return {
    directory,
    sizes: checkedSizes(size),
    rounds,
    memory: words('memory', memory, MEMORY_PATTERNS),
    file: words('file', file, FILE_STATES),
    work: works,
    qemu,
    transfer: { channels, queueDepth, requestSize, ioEngine, directIo },
    sweep,
    signal: options.signal ?? new AbortController().signal,
    onProgress,
  };
}

type PlainOptions = Pick<CheckedBenchOptions, 'directory' | 'qemu' | 'sweep' | 'onProgress'>;

/** Checks the options that need no more than to be of a kind. */
function checkedKinds(options: BenchOptions): PlainOptions {
  const { directory = '.', qemu, sweep = false, onProgress = (): void => undefined } = options;
  // A program without types may give anything.
  const kinds: readonly (readonly [name: string, value: unknown, kind: string, words: string])[] = [
    ['directory', directory, 'string', 'a path'],
    ['qemu', qemu ?? '', 'string', 'the name or path of a program'],
    ['sweep', sweep, 'boolean', 'true or false'],
    ['onProgress', onProgress, 'function', 'a function'],
  ];
  for (const [name, value, kind, expected] of kinds) {
    if (typeof value !== kind) throw refused(name, expected, value);
  }
  return { directory, qemu, sweep, onProgress };
}

/** What a report is to have results of, in their order. */
export function plannedResults({
  sizes,
  memory,
  work,
  file,
}: Pick<CheckedBenchOptions, 'sizes' | 'memory' | 'work' | 'file'>): readonly PlannedResult[] {
  return sizes.flatMap((size) =>
    memory.flatMap((pattern) =>
      work.flatMap((kind) =>
        // A save writes a new file: no state of a file can matter to it.
        (kind === 'save' ? (['cold'] as const) : file).map((state) => ({
          size,
          work: kind,
          memory: pattern,
          file: state,
        })),
      ),
    ),
  );
}

/** One kind of work on memory of one size and pattern, with the file in one state. */
export interface PlannedResult {
  /** Bytes of guest memory. */
  readonly size: number;
  readonly work: BenchWork;
  readonly memory: MemoryPattern;
  readonly file: FileState;
}

/** Returns the words that were given, once each and in the usual order. */
function words<T extends string>(name: string, given: readonly T[], all: readonly T[]): readonly T[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw refused(name, `a list of ${all.join(', ')}`, given);
  }
  for (const word of given) assertWord(name, word, all);
  return all.filter((word) => given.includes(word));
}

/** Returns the sizes that were given, as a list. */
function checkedSizes(given: number | readonly number[]): readonly number[] {
  const sizes: readonly unknown[] = typeof given === 'number' ? [given] : given;
  if (!Array.isArray(sizes) || sizes.length === 0 || sizes.length > MOST_SIZES) {
    const found = Array.isArray(sizes) ? `a list of ${sizes.length}` : sizes;
    throw refused('size', `bytes, or a list of 1 to ${MOST_SIZES} sizes in bytes`, found);
  }
  return sizes.map((size: unknown, index) => {
    if (!isSize(size)) {
      throw refused('size', `whole MiB, at least ${SMALLEST_BENCH / MIB} MiB, in bytes`, size);
    }
    if (sizes.indexOf(size) !== index) throw refused('size', 'different sizes', `${size} twice`);
    return size;
  });
}

function isSize(size: unknown): size is number {
  return typeof size === 'number' && Number.isSafeInteger(size) && size >= SMALLEST_BENCH && size % MIB === 0;
}

function refused(name: string, expected: string, found: unknown): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `${name} of the bench`, {
    expected,
    found: Array.isArray(found) ? found.join(', ') || 'an empty list' : inWords(found),
  });
}
