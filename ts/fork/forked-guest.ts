import type { RestoredGuest } from '../restore/restore.ts';
import type { SaveResult } from '../save/save-options.ts';
import type { ForkForm } from './fork-options.ts';

/**
 * A clone: the same as a guest of `restore`. Its `times` count from the call: `prepareMs` until its QEMU began to load
 * (the pause of the source is in it), `startMs` is 0, because QEMU had started, and `loadMs` is the load alone.
 */
export interface ForkedGuest extends RestoredGuest {
  /** The clone's number, with which its command line was made. */
  readonly index: number;
}

export interface ForkTimes {
  /** Milliseconds from the call until QEMUs waited; 0 for QEMUs that waited already. */
  readonly prepareMs: number;
  /**
   * Milliseconds that it took to take memory and devices out of the source, let it go on, and write them; with the form
   * `whole` also to check them.
   */
  readonly captureMs: number;
  /** Milliseconds from then until the last clone was loaded, and the snapshot checked. */
  readonly loadMs: number;
  /** Milliseconds from the call until the first clone was in the state asked for. */
  readonly firstMs: number;
  /** Milliseconds from the call until all clones were. */
  readonly totalMs: number;
}

/** A fork: clones that go on from one pause of their source. Disposal ends all of their QEMUs. */
export interface Fork extends AsyncDisposable {
  /** The clones, by their numbers. Each may be disposed of by itself. */
  readonly guests: readonly ForkedGuest[];
  /**
   * The way in which the clones have their memory. `delta`: they map the snapshot that the source maps, and each has a
   * copy of the pages that had changed. `whole`: they share a file in memory with all pages.
   */
  readonly form: ForkForm;
  /** The snapshot that source and clones map, with `delta`. */
  readonly base: string | undefined;
  /** Milliseconds for which the source stood still; undefined when it stood still before, and still does. */
  readonly pauseMs: number | undefined;
  /** Bytes of memory that source and devices took: with `whole` the clones hold them, with `delta` they are given back. */
  readonly bytes: number;
  /** The writer that took the memory out of the source. */
  readonly writer: SaveResult['writer'];
  /** The reason for the writer, in words. */
  readonly writerWhy: string;
  /** Possible flaws of the fork as a whole, in words; those of a clone are in its own. */
  readonly warnings: readonly string[];
  readonly times: ForkTimes;
}
