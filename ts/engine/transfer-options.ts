/** The executor of the requests. Only `auto` falls back, and the report says why. */
export type IoEngine = (typeof IO_ENGINES)[number];
export const IO_ENGINES = ['auto', 'io_uring', 'threads'] as const;

/** The choice whether the channels bypass the page cache. Only `auto` falls back, and the report says why. */
export type DirectIo = (typeof DIRECT_IO)[number];
export const DIRECT_IO = ['auto', 'on', 'off'] as const;

/** Options of everything that moves pages. */
export interface TransferOptions {
  /**
   * Channels that work at once, 1 to 64.
   * @default never more than find work. As many as there are cores for saves to a disk, half as many for reads past the
   *   page cache, each up to 4, and 4 for buffered reads. With threads 16 for what goes through the page cache; also 16,
   *   and 4 for loads, past it where the kernel or the filesystem takes one request at a time. For saves to tmpfs, and
   *   for reads of what is in memory (tmpfs, or a file that is in the page cache), as many as there are cores, up to 8;
   *   half as many, up to 4, for saves to tmpfs by an explicit `io_uring`
   */
  readonly channels?: number | undefined;
  /**
   * Requests in flight on each channel, 1 to 256. The `threads` engine has 32 at most past the page cache of common disk
   * filesystems, and one elsewhere.
   * @default 16
   */
  readonly queueDepth?: number | undefined;
  /**
   * The most bytes that one request moves: a multiple of the page size, up to 16 MiB. A transfer that makes or checks a
   * seal needs a multiple of the seal's piece size, 256 KiB for the seals of this package.
   * @default 1048576; with a seal of larger pieces one piece, and fewer requests in flight
   */
  readonly requestSize?: number | undefined;
  /** @default 'auto' */
  readonly ioEngine?: IoEngine | undefined;
  /**
   * `auto` writes past the page cache where the file system can. It reads past it unless the pages are there, or are not
   * on the disk yet: such a read is buffered.
   * @default 'auto'
   */
  readonly directIo?: DirectIo | undefined;
  /** Ends the work early: nothing is left behind, and the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called every quarter of a second and once at the end. An error that it throws is ignored. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** Counts of guest memory, in bytes. */
export interface TransferProgress {
  readonly bytesTotal: number;
  /** Bytes that are done, zero pages included. The count never goes down. */
  readonly bytesDone: number;
  /** Bytes of pages that are in the snapshot; the other bytes done were zero pages. */
  readonly dataBytes: number;
  /** Milliseconds since the start. */
  readonly elapsedMs: number;
}

/** The outcome of a transfer: the bytes that moved, and the way they took. */
export interface TransferReport {
  /** The executor of the requests; `javascript` where a snapshot is no file of this host. */
  readonly ioEngine: 'io_uring' | 'threads' | 'javascript';
  readonly ioEngineWhy: string;
  /** True when the kernel registered the buffers; the memlock limit may forbid that. */
  readonly registeredBuffers: boolean;
  readonly directIo: boolean;
  readonly directIoWhy: string;
  readonly channels: number;
  readonly queueDepth: number;
  readonly requestSize: number;
  /** Bytes of guest memory covered. */
  readonly bytes: number;
  /** Bytes of pages written to or read from the snapshot; the rest were zero pages. */
  readonly dataBytes: number;
  /**
   * Reads and writes of the snapshot, of both snapshots in a comparison, that the I/O engine was given. The rest of one
   * that was cut short counts as another. Undefined where `ioEngine` is `javascript`, which counts none.
   */
  readonly requests: number | undefined;
  /** The requests among them that bypassed the page cache. Undefined as `requests` is. */
  readonly directRequests: number | undefined;
  /**
   * Bytes that the requests moved: more than `dataBytes` by the bitmaps that a save writes, and by clear pages that came
   * along with set ones. Undefined as `requests` is.
   */
  readonly requestBytes: number | undefined;
  /**
   * System calls that the I/O engine made for the requests: `io_uring_enter`, or the reads and writes themselves with
   * `threads`. With `io_uring` their number varies with the disk's speed. Undefined as `requests` is.
   */
  readonly submissions: number | undefined;
  /**
   * Milliseconds from opening the files to the last byte, without making the file durable. For a save, whose work comes
   * in two parts, the sum of both.
   */
  readonly elapsedMs: number;
}
