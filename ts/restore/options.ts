import type { WaitOptions } from '../host/wait-within.ts';
import type { Switch } from '../negotiate/request.ts';
import type { PreloadOptions } from './preload.ts';
import type { AfterRestore } from './run-state.ts';
import type { StateStream } from './state-stream.ts';

/** How QEMU is to take a guest over, whatever the mode. */
export interface LoadOptions extends WaitOptions {
  /** @default 'cont' */
  readonly after?: AfterRestore | undefined;
  /**
   * A state stream that was made beforehand for this snapshot, mode and blocks: once for many clones. It stays the
   * caller's. Not with `eager`. @default made when it is needed
   */
  readonly state?: StateStream | undefined;
  /** Several channels of QEMU: `eager` only, and not where it reads a plain stream. @default 'auto' */
  readonly multifd?: Switch | undefined;
  /** Channels of QEMU, 1 to 255: as `multifd`. @default 'auto' */
  readonly channels?: number | 'auto' | undefined;
  /** O_DIRECT: as `multifd`. @default 'auto' */
  readonly directIo?: Switch | undefined;
  /** Whether files are handed to QEMU as descriptors, so that it needs no right to any path. @default 'auto' */
  readonly fdset?: Switch | undefined;
  /** Milliseconds for each step that QEMU is asked to take. @default no limit for the load, 60000 for commands */
  readonly timeoutMs?: number | undefined;
}

/** How memory is prepared before QEMU starts, by the modes that do so. */
export interface PrepareOptions {
  /** Where `preload` keeps the memory, and no other mode: on tmpfs, or a hugetlbfs mount. @default '/dev/shm' */
  readonly ramDirectory?: string | undefined;
  /** How `preload` reads the snapshot. No other mode has a use for more than `auto`. */
  readonly transfer?: Omit<PreloadOptions, 'blocks' | 'directory' | 'signal'> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The options that some modes have a use for, and others have not. */
export type ModeOption = 'multifd' | 'channels' | 'directIo' | 'ramDirectory' | 'transfer';

/** Those of these options that somebody has set. */
export type AskedOptions = Pick<LoadOptions & PrepareOptions, ModeOption>;
