/** The figures of one round of one contender. A figure that could not be measured is undefined, never 0. */
export interface RoundFigures {
  /** Milliseconds from the call, or the command, to the end of the work: for a restore, until the guest has touched its working set. */
  readonly milliseconds: number;
  /** Bytes of guest memory that the work covered, zero pages included. */
  readonly bytes: number;
  /** Bytes of pages that were read or written. */
  readonly dataBytes: number;
  /** Milliseconds of CPU time, user and system, of the process that does the work and of its threads. */
  readonly cpuMs?: number | undefined;
  /** The most bytes that the process had resident during the work, shared memory and files aside. */
  readonly peakBytes?: number | undefined;
  /** The same, of a process of this kind that does nothing: Node alone for this package. */
  readonly idleBytes?: number | undefined;
  /** Bytes that the work added to the page cache, of the files on the disk; negative when it dropped some. */
  readonly pageCacheBytes?: number | undefined;
  /** System calls of the process and its threads: counted in the round that warms up, and the same in every round. */
  readonly syscalls?: number | undefined;
  /** Requests that went to the disk, where the contender counts them. */
  readonly requests?: number | undefined;
  /** Milliseconds to further moments of a restore, by name: `running`; `started`, of QEMU alone, when a new QEMU answers. */
  readonly moments?: Readonly<Record<string, number>> | undefined;
}

/** The programs that are compared. `copy` is a plain copy, the floor that always exists. */
export type BenchProgram = 'mapped-ram' | 'fio' | 'copy' | 'qemu';

/** Contents of guest memory. */
export type MemoryPattern = (typeof MEMORY_PATTERNS)[number];
export const MEMORY_PATTERNS = ['random', 'half-zero', 'scattered', 'mostly-empty'] as const;

/** The state in which a round finds the file that it reads: in no cache, in the page cache, or there and not yet on the disk. */
export type FileState = (typeof FILE_STATES)[number];
export const FILE_STATES = ['cold', 'warm', 'dirty'] as const;

/** The kinds of work that are measured. */
export type BenchWork = (typeof BENCH_WORKS)[number];
export const BENCH_WORKS = ['save', 'load', 'verify', 'diff', 'restore'] as const;
