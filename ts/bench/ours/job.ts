import type { ErrorCode } from '../../errors.ts';
import type { BenchWork } from '../figures.ts';
import type { TransferOptions, TransferReport } from '../../engine/transfer-options.ts';

/** The options of moving pages that this package's contenders are told. */
export type BenchTransfer = Pick<
  TransferOptions,
  'channels' | 'queueDepth' | 'requestSize' | 'ioEngine' | 'directIo'
>;

/** The kinds of work that this package does by itself, without QEMU. */
export type OurWork = Exclude<BenchWork, 'restore'>;

/** What a worker process is told to do. */
export interface Job {
  readonly work: OurWork;
  /** The snapshot: written by a save, read by all others. */
  readonly snapshot: string;
  /** The guest's memory: read by a save and a comparison, written by a load. */
  readonly memory: string;
  readonly block: string;
  readonly state: string;
  /** Bytes of guest memory. */
  readonly size: number;
  readonly transfer: BenchTransfer;
  /** True to watch the memory of the process, which takes system calls. */
  readonly watchesMemory: boolean;
}

/** How pages moved. */
export interface TransferWay extends Pick<
  TransferReport,
  'ioEngineWhy' | 'directIo' | 'directIoWhy' | 'channels' | 'queueDepth' | 'requestSize'
> {
  readonly ioEngine: Exclude<TransferReport['ioEngine'], 'javascript'>;
}

/** What a worker process measured of itself. */
export interface JobFigures {
  readonly milliseconds: number;
  readonly cpuMs: number;
  /** Bytes; undefined where the system does not tell. */
  readonly peakBytes: number | undefined;
  readonly idleBytes: number | undefined;
  readonly requests: number | undefined;
  /** How the pages moved, and why so. */
  readonly way: TransferWay;
}

/** What a worker process says: `ready` once, when it has loaded its code, and then a reply to each job. */
export type WorkerWord = 'ready' | JobReply;

/** What a worker process sends back. */
export type JobReply =
  | { readonly figures: JobFigures }
  | { readonly error: { readonly code: ErrorCode; readonly words: string } };
