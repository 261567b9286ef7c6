/** The executor of the requests. Only `auto` falls back, and the report says why. */
export type IoEngine = 'auto' | 'io_uring' | 'threads';

/** Whether the channels bypass the page cache. Only `auto` falls back, and the report says why. */
export type DirectIo = 'auto' | 'on' | 'off';

/** Options of everything that moves pages. */
export interface TransferOptions {
  /**
   * Channels that work at once, 1 to 64.
   * @default with io_uring half as many as there are cores, up to 4; with threads 8; never more than find work
   */
  readonly channels?: number | undefined;
  /**
   * Requests in flight on each channel, 1 to 256. The `threads` engine has one in flight whatever this says.
   * @default 16
   */
  readonly queueDepth?: number | undefined;
  /**
   * The most bytes that one request moves: a multiple of the page size, up to 16 MiB; where a seal is made or checked, a
   * multiple of its piece size, 256 KiB for the seals of this package.
   * @default 1048576; with a seal of larger pieces one piece, and fewer requests in flight
   */
  readonly requestSize?: number | undefined;
  /** @default 'auto' */
  readonly ioEngine?: IoEngine | undefined;
  /** @default 'auto' */
  readonly directIo?: DirectIo | undefined;
  /** Ends the work early: nothing is left behind, and the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called every quarter of a second and once at the end. What it throws is ignored. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** Counts bytes of guest memory. */
export interface TransferProgress {
  readonly bytesTotal: number;
  /** Zero pages included. Never goes down. */
  readonly bytesDone: number;
  /** Bytes of pages that are in the snapshot; the other bytes done were zero pages. */
  readonly dataBytes: number;
  /** Milliseconds since the start. */
  readonly elapsedMs: number;
}

/** What moved, and how. */
export interface TransferReport {
  /** The executor of the requests; `javascript` where a snapshot is no file of this host. */
  readonly ioEngine: 'io_uring' | 'threads' | 'javascript';
  readonly ioEngineWhy: string;
  /** Whether the kernel took the buffers in registration, which the memlock limit may forbid. */
  readonly registeredBuffers: boolean;
  readonly directIo: boolean;
  readonly directIoWhy: string;
  readonly channels: number;
  readonly queueDepth: number;
  readonly requestSize: number;
  /** Guest memory covered. */
  readonly bytes: number;
  /** Bytes of pages written to or read from the snapshot; the rest were zero pages. */
  readonly dataBytes: number;
  /** Milliseconds from opening the files to the last byte, without making the file durable. */
  readonly elapsedMs: number;
}
