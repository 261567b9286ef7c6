import { addAbortListener } from 'node:events';

import { MappedRamError } from '../errors.ts';
import { binding, toMappedRamError } from '../native.ts';

import type { TransferOptions, TransferReport } from './options.ts';

/** Where guest memory is: exactly one of the first four. */
export interface TransferMemory {
  readonly path?: string | undefined;
  readonly fd?: number | undefined;
  /** Save: its bytes at the time of the call. */
  readonly buffer?: Uint8Array | undefined;
  /** Load: a buffer of this many bytes comes back with the outcome. */
  readonly bufferLength?: number | undefined;
  /** Where the block starts in it, in bytes. Default 0. */
  readonly offset?: number | undefined;
}

/** One block: its memory, and its place in the snapshot. */
export interface TransferRegion {
  readonly name: string;
  /** Left out for a scan. */
  readonly memory?: TransferMemory | undefined;
  readonly length: number;
  readonly pagesOffset: number;
  readonly bitmapOffset: number;
  /** Save: write zero pages too, and set their bits. */
  readonly storeZeroPages?: boolean | undefined;
  /** Load: the memory reads as zeros already. */
  readonly memoryIsZero?: boolean | undefined;
}

/** The snapshot: a path, or descriptors. */
export interface TransferFile {
  readonly path?: string | undefined;
  readonly fd?: number | undefined;
  readonly directFd?: number | undefined;
  /** How errors call it. */
  readonly name: string;
}

export interface TransferPlan {
  /** `scan` reads the snapshot's pages and writes nothing. */
  readonly direction: 'save' | 'load' | 'scan';
  readonly file: TransferFile;
  readonly regions: readonly TransferRegion[];
  /** In bytes. */
  readonly pageSize: number;
  /**
   * Save and scan: digests are made of the blocks' pieces of this many bytes, a power of two from `pageSize` on. A request
   * must hold whole pieces.
   */
  readonly pieceSize?: number | undefined;
}

/** The pieces of a block that have a page that is not zero. */
export interface BlockPieces {
  /** Where they start in the block, in bytes, ascending. */
  readonly offsets: readonly number[];
  /** Their digests, 32 bytes each, one after the other. */
  readonly digests: Uint8Array;
}

export interface TransferOutcome {
  readonly report: TransferReport;
  /** By region: the bytes of those that were loaded into a buffer. */
  readonly buffers: readonly (Uint8Array | null)[];
  /** By region, when the plan has a `pieceSize`; otherwise empty. */
  readonly pieces: readonly BlockPieces[];
}

const PROGRESS_INTERVAL_MS = 250;

/**
 * Moves the pages of a plan. When the promise settles, all of the engine's threads have ended.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} what the engine met first
 */
export async function runTransfer(plan: TransferPlan, options: TransferOptions): Promise<TransferOutcome> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const transfer = new binding.BindingTransfer(bindingPlan(plan, options));
  const startedAt = performance.now();
  const report = (): void => {
    try {
      onProgress?.({ ...transfer.progress(), elapsedMs: performance.now() - startedAt });
    } catch {
      // Progress is for show: what its listener throws must not decide about the transfer.
    }
  };
  const ticks = onProgress === undefined ? undefined : setInterval(report, PROGRESS_INTERVAL_MS);
  const listener = signal === undefined ? undefined : addAbortListener(signal, () => transfer.cancel());
  try {
    const outcome = await transfer.run();
    signal?.throwIfAborted();
    if (outcome.error !== undefined) throw toMappedRamError(outcome.error);
    if (outcome.report === undefined) {
      throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'the engine gave neither report nor error');
    }
    report();
    const engine = outcome.report.engine === 'io_uring' ? 'io_uring' : 'threads';
    return { report: { ...outcome.report, engine }, buffers: outcome.buffers, pieces: outcome.pieces };
  } finally {
    clearInterval(ticks);
    listener?.[Symbol.dispose]();
  }
}

type BindingPlan = ConstructorParameters<typeof binding.BindingTransfer>[0];

function bindingPlan(plan: TransferPlan, options: TransferOptions): BindingPlan {
  return defined({
    direction: plan.direction,
    path: plan.file.path,
    fd: plan.file.fd,
    directFd: plan.file.directFd,
    name: plan.file.name,
    regions: plan.regions.map((region) =>
      defined({
        name: region.name,
        path: region.memory?.path,
        fd: region.memory?.fd,
        buffer: region.memory?.buffer,
        bufferLength: region.memory?.bufferLength,
        memoryOffset: region.memory?.offset ?? 0,
        length: region.length,
        pagesOffset: region.pagesOffset,
        bitmapOffset: region.bitmapOffset,
        storeZeroPages: region.storeZeroPages,
        memoryIsZero: region.memoryIsZero,
      }),
    ),
    pageSize: plan.pageSize,
    pieceSize: plan.pieceSize,
    channels: count('channels', options.channels),
    queueDepth: count('queueDepth', options.queueDepth),
    requestSize: count('requestSize', options.requestSize),
    engine: options.engine,
    directIo: options.directIo,
  });
}

/** The binding's types tell a missing property from one that is there and undefined; callers need not. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only undefined properties were taken out
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** The engine knows the ranges; here only what Node-API would bend into a number is refused. */
function count(name: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value < 2 ** 32)) return value;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
    expected: 'a positive integer',
    found: value,
  });
}
