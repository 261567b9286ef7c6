import type { BenchProgram, BenchWork, FileState, MemoryPattern, RoundFigures } from './figures.ts';
import type { MachineFacts } from './machine-facts.ts';

/** The version of the report's form. It grows when a member changes its meaning or goes. */
export const REPORT_VERSION = 1;

/** All that `bench` found out, as data. */
export interface BenchReport {
  readonly schemaVersion: 1;
  /** The moment at which the bench began, ISO 8601. */
  readonly startedAt: string;
  readonly elapsedMs: number;
  readonly machine: MachineFacts;
  /** The settings of the bench: sizes in bytes, rounds, and what this package's contenders were told. */
  readonly settings: BenchSettings;
  readonly results: readonly BenchResult[];
  /** What could not be measured, and why. */
  readonly skipped: readonly SkippedBench[];
  readonly sweep?: BenchSweep | undefined;
}

export interface BenchSettings {
  readonly directory: string;
  /** Bytes of guest memory: one size, or several, which were measured one after the other. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  /** The options of moving pages that were given explicitly; this package's contenders have them all. */
  readonly transfer: Readonly<Record<string, string | number>>;
}

/** One kind of work on memory of one size and pattern, with the file in one state. */
export interface BenchResult {
  /** Bytes of guest memory. */
  readonly size: number;
  readonly work: BenchWork;
  readonly memory: MemoryPattern;
  readonly file: FileState;
  /**
   * Processors that other programs kept busy during the rounds that count, on average: 0.97 for a loop that never waits.
   * Undefined where that cannot be known.
   */
  readonly otherProcessors?: number | undefined;
  readonly contenders: readonly ContenderResult[];
}

export interface ContenderResult {
  readonly name: string;
  readonly program: BenchProgram;
  readonly isReference: boolean;
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** One per round, in the rounds' order: the same index of two contenders is the same round. */
  readonly rounds: readonly RoundFigures[];
  /** Medians over the rounds, and derived figures. */
  readonly summary: FiguresSummary;
}

/** Medians over the rounds. */
export interface FiguresSummary {
  readonly milliseconds: Spread;
  /** 10^9 bytes of guest memory per second, of the median time. A restore has none: it need not move all of the memory. */
  readonly gigabytesPerSecond?: number | undefined;
  /** CPU seconds per GiB of guest memory. */
  readonly cpuSecondsPerGiB?: number | undefined;
  readonly peakBytes?: number | undefined;
  readonly idleBytes?: number | undefined;
  readonly pageCacheBytes?: number | undefined;
  readonly syscallsPerGiB?: number | undefined;
  readonly requestsPerGiB?: number | undefined;
  readonly moments?: Readonly<Record<string, Spread>> | undefined;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface SkippedBench {
  /** Bytes of guest memory. */
  readonly size: number;
  readonly work: BenchWork;
  readonly name: string;
  readonly reason: string;
}

/** A sweep over the engine's settings, on this machine. */
export interface BenchSweep {
  /** Bytes of guest memory that each point moved: the first size of the bench. */
  readonly size: number;
  /** What was given explicitly, by the options' names: these are the same in all points. */
  readonly fixed: Readonly<Record<string, string | number>>;
  /** The settings that were tried, as the search measured them. */
  readonly points: readonly SweepPoint[];
  /** The settings that were fastest, per direction, and how far the defaults are behind. */
  readonly best: readonly SweepBest[];
}

export interface SweepPoint {
  readonly work: 'save' | 'load';
  readonly ioEngine: 'io_uring' | 'threads';
  readonly channels: number;
  readonly queueDepth: number;
  readonly requestSize: number;
  readonly milliseconds: Spread;
}

export interface SweepBest {
  readonly work: 'save' | 'load';
  /** The settings that were fastest in the search; their times are of the rounds after it. */
  readonly best: SweepPoint;
  /** The point that the defaults are. Its times are of the same rounds as those of `best`. */
  readonly defaults: SweepPoint;
  /** The rounds after the search; undefined when nothing was faster than the defaults in the search itself. */
  readonly comparison?: SweepComparison | undefined;
}

/** The fastest settings of a search against the defaults, in fresh rounds in which the two alternated. */
export interface SweepComparison {
  readonly rounds: number;
  /** The time that the defaults took longer, as a share: median of the rounds' ratios, less 1. Negative when they were faster. */
  readonly behind: number;
  /** True when the defaults are slower beyond noise; else they are as good as any. */
  readonly isClear: boolean;
}
