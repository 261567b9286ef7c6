import type { WaitOptions } from '../host/wait-within.ts';
import type { Switch } from '../negotiate/request.ts';
import type { MemoryKind } from './command-line/memory-kind.ts';
import type { PostcopyOptions } from './postcopy/postcopy-options.ts';
import type { PreloadOptions } from './preload.ts';
import type { AfterRestore } from './run-state.ts';
import type { StateStream } from './state-stream.ts';
import type { WorkingSet } from '../working-set/working-set-file.ts';

/** Options for letting QEMU take a guest over, whatever the mode. */
export interface LoadOptions extends WaitOptions {
  /** The guest's state after the restore. @default 'cont' */
  readonly after?: AfterRestore | undefined;
  /**
   * A state stream that was made beforehand for this snapshot, mode and blocks: once for many clones. It stays the
   * caller's. Has no use with `eager`. @default made when it is needed
   */
  readonly state?: StateStream | undefined;
  /** Several channels of QEMU. Only `eager` has them, and not where it reads a plain stream. @default 'auto' */
  readonly multifd?: Switch | undefined;
  /** Channels of QEMU, 1 to 255; only where `multifd` has a use. @default 'auto' */
  readonly channels?: number | 'auto' | undefined;
  /**
   * O_DIRECT: where `multifd` has a use QEMU's; with `lazy` the page server's, which only `on` has read past the page
   * cache. @default 'auto'
   */
  readonly directIo?: Switch | undefined;
  /** Options of the mode `lazy`, and of no other. */
  readonly postcopy?: PostcopyOptions | undefined;
  /** What the mode has started beside QEMU. @internal */
  readonly beside?: AsyncDisposable | undefined;
  /** Pages that come before others, with `lazy`. @default the working set beside the snapshot @internal */
  readonly hot?: WorkingSet | undefined;
  /** Hands files to QEMU as descriptors, so that QEMU needs no right to any path. @default 'auto' */
  readonly fdset?: Switch | undefined;
  /** Limit in milliseconds for each step of QEMU. @default no limit for the load, 60000 for commands */
  readonly timeoutMs?: number | undefined;
}

/** Options for preparing memory before QEMU starts, for the modes that do so. */
export interface PrepareOptions {
  /**
   * Directory for the memory of `preload`, and of no other mode: on tmpfs, or a hugetlbfs mount. @default '/dev/shm',
   * or no directory (memfd) where that is missing or read-only
   */
  readonly ramDirectory?: string | undefined;
  /**
   * The kind of memory that the guest gets, with `lazy` only.
   * @default what the command line says, or QEMU's own
   */
  readonly memory?: MemoryKind | undefined;
  /** Options for reading the snapshot with `preload`. No other mode has a use for more than `auto`. */
  readonly transfer?: Omit<PreloadOptions, 'blocks' | 'directory' | 'signal'> | undefined;
  /**
   * The working set that is read ahead while QEMU starts, and that `lazy` brings before all other pages: that beside
   * the snapshot if there is one (`recordWorkingSet`), none, or that in another file. With `instant` and `lazy` only.
   * @default 'auto'
   */
  readonly workingSet?: 'auto' | 'off' | { readonly path: string } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The options that some modes have a use for, and others have not. */
export type ModeOption =
  | 'multifd'
  | 'channels'
  | 'directIo'
  | 'ramDirectory'
  | 'transfer'
  | 'workingSet'
  | 'postcopy'
  | 'memory';

/** Values of these options, where the caller has set them. */
export type AskedOptions = Pick<LoadOptions & PrepareOptions, ModeOption>;

/**
 * The demands that the caller's options make, by the names that errors use. An option of a new mode gets its entry here. `auto` is no demand, nor is `off` where it
 * describes what happens anyway.
 */
export const ASKED: Readonly<
  Record<ModeOption, (options: AskedOptions) => Readonly<Record<string, boolean>>>
> = {
  multifd: ({ multifd }) => ({ multifd: multifd === 'on' }),
  channels: ({ channels = 'auto' }) => ({ channels: channels !== 'auto' }),
  directIo: ({ directIo }) => ({ directIo: directIo === 'on' }),
  ramDirectory: ({ ramDirectory }) => ({ ramDirectory: ramDirectory !== undefined }),
  memory: ({ memory }) => ({ memory: memory !== undefined }),
  postcopy: ({ postcopy }) => ({ postcopy: postcopy !== undefined }),
  workingSet: ({ workingSet }) => ({ workingSet: typeof workingSet === 'object' }),
  transfer: ({ transfer: { channels, queueDepth, requestSize, ioEngine = 'auto', directIo } = {} }) => ({
    'transfer.channels': channels !== undefined,
    'transfer.queueDepth': queueDepth !== undefined,
    'transfer.requestSize': requestSize !== undefined,
    'transfer.ioEngine': ioEngine !== 'auto',
    'transfer.directIo': directIo === 'on',
  }),
};
