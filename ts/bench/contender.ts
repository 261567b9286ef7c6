import type { BenchProgram, FileState, MemoryPattern, RoundFigures } from './figures.ts';

/** The files of one memory pattern, which all contenders share. */
export interface BenchFiles {
  readonly pattern: MemoryPattern;
  /** Bytes of guest memory: a multiple of 1 MiB. */
  readonly size: number;
  /** Bytes of pages that are not zero. */
  readonly dataBytes: number;
  /** A folder of the bench's own on the disk that is measured. */
  readonly directory: string;
  /** A folder of the bench's own in memory (/dev/shm). */
  readonly memoryDirectory: string;
  /** The guest's memory, in `memoryDirectory`: one block of `size` bytes. */
  readonly memory: string;
  /** The id of that block. */
  readonly block: string;
  /** A device-state stream that `pack` takes. */
  readonly state: string;
  /** A snapshot of `memory`, in `directory`, complete and on the disk. */
  readonly snapshot: string;
}

/** One way of doing one kind of work. */
export interface Contender extends AsyncDisposable {
  /** The name in tables; unique among the contenders of a kind of work. */
  readonly name: string;
  readonly program: BenchProgram;
  /** True when ratios of baselines are made against it: it does not change when this package does. */
  readonly isReference: boolean;
  /** True when the CPU time of the bench's own process is in the figures: the work is done there. @default false */
  readonly isMeteredHere?: boolean | undefined;
  /** What distinguishes it: channels, I/O engine, direct I/O, mode, … */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** Puts everything in place for one round. Its time does not count. */
  prepare(signal: AbortSignal): Promise<void>;
  /** Does the work once, after `prepare`. */
  run(signal: AbortSignal): Promise<RoundFigures>;
  /**
   * Does the work once, after `prepare`, in the round that warms up and is not timed: counting slows it. Returns the
   * number of system calls of the process and its threads; undefined where nothing can count them.
   */
  countSyscalls?(signal: AbortSignal): Promise<number | undefined>;
}

/** Makes the contenders of one kind of work, in one state of the file. */
export type MakeContenders = (
  files: BenchFiles,
  state: FileState,
  signal: AbortSignal,
) => Promise<ContenderSet>;

export interface ContenderSet {
  readonly contenders: readonly Contender[];
  /** What could not take part, and why. */
  readonly skipped: readonly SkippedContender[];
}

export interface SkippedContender {
  readonly name: string;
  readonly reason: string;
}
