import { binding, type BindingModule } from './binding.ts';
import { defined, engineOptions, pieceRequests } from './engine-options.ts';
import type { LocalFile } from '../io/open-source.ts';
import { assertWord } from '../io/option-words.ts';
import type { PageArea } from '../stream/page-area.ts';
import { assertPid, PROCESS_PAGES, type ProcessPages } from './process/changed-pages.ts';
import type { TransferOptions, TransferReport } from './transfer-options.ts';
import { runJob } from './run-job.ts';

/** The place of guest memory: exactly one of the first six members. */
export interface TransferMemory {
  readonly path?: string | undefined;
  readonly fd?: number | undefined;
  /** Save: the memory itself, as it is at the time of the call. */
  readonly buffer?: Uint8Array | undefined;
  /** Load: a buffer of this many bytes comes back with the outcome. */
  readonly bufferLength?: number | undefined;
  /** Save: the memory of another process, which stands still. */
  readonly process?: ProcessBlock | undefined;
  /** Save: a block of a copy of such memory; `ProcessCopy.memory` gives it. */
  readonly copy?: BlockOfCopy | undefined;
  /** Offset of the block in that memory, in bytes. Default 0. */
  readonly offset?: number | undefined;
  /** Save: the path or descriptor is another snapshot, and the memory is a block of it, which lies in this area. */
  readonly area?: PageArea | undefined;
}

/** A block of memory in a process. */
export interface ProcessBlock {
  readonly pid: number;
  /** Address of the block in the process's address space. */
  readonly address: number;
  /** The pages to read. The others are taken for zeros, unless the region is limited to some pages. @default 'data' */
  readonly pages?: ProcessPages | undefined;
}

interface BlockOfCopy {
  readonly native: InstanceType<BindingModule['BindingProcessCopy']>;
  readonly block: number;
}

/** Pages of a block that a save is limited to: exactly one of `runs` and `bitmap`. */
export interface OnlyPages {
  /** Offset and length of each run in turn, in bytes from the start of the block: whole pages, ascending. */
  readonly runs?: Float64Array | undefined;
  /** A bitmap as the file has it (docs/format.md §2.5). */
  readonly bitmap?: Uint8Array | undefined;
  /**
   * The fate of a zero page among them: it is stored with its bit set, or its bit is cleared and its place in the file
   * becomes a hole.
   */
  readonly zeros: (typeof ZEROS)[number];
  /** The bits of the other pages: a bitmap, or those that the file has in their place. @default all clear */
  readonly base?: Uint8Array | 'in-place' | undefined;
}
const ZEROS = ['store', 'clear'] as const;

/** One block: its memory, and its place in the snapshot. */
export interface TransferRegion {
  readonly name: string;
  readonly area: PageArea;
  /** The block's memory; a scan has none. */
  readonly memory?: TransferMemory | undefined;
  /** Save: zero pages are written too, and their bits set. */
  readonly storeZeroPages?: boolean | undefined;
  /**
   * Save: only these pages are read and written; the others stay as they are in the file, whose bits are the base's or
   * these. There can be no digests then.
   */
  readonly only?: OnlyPages | undefined;
  /** Load: the memory reads as zeros already. */
  readonly memoryIsZero?: boolean | undefined;
}

/** The snapshot: a path, or descriptors. */
export interface TransferFile {
  readonly path?: string | undefined;
  readonly fd?: number | undefined;
  readonly directFd?: number | undefined;
  /** The name that errors use. */
  readonly name: string;
}

/**
 * Hands an open file to the engine: by its descriptor, because its name may have been given to another file since it was
 * opened. Windows has no descriptors that the engine could take.
 */
export function transferFile({ name, path, fd, directFd }: LocalFile): TransferFile {
  return process.platform === 'win32' && path !== undefined ? { path, name } : { fd, directFd, name };
}

export interface TransferPlan {
  /** `scan` reads the snapshot's pages and writes nothing. */
  readonly direction: 'save' | 'load' | 'scan';
  readonly file: TransferFile;
  readonly regions: readonly TransferRegion[];
  /**
   * Save and scan: digests are made of the blocks' pieces of this many bytes, a power of two from the page size up to 16
   * MiB. An explicit request size must be a multiple of it.
   */
  readonly pieceSize?: number | undefined;
}

/** The pieces of a block that have a page that is not zero. */
export interface BlockPieces {
  /** Offsets of the pieces in the block, in bytes, ascending. */
  readonly offsets: readonly number[];
  /** The pieces' digests, 32 bytes each, one after the other. */
  readonly digests: Uint8Array;
}

export interface TransferOutcome {
  readonly report: TransferReport;
  /** One entry a region: the bytes of a region that was loaded into a buffer, else null. */
  readonly buffers: readonly (Uint8Array | null)[];
  /** One entry a region when the plan has a `pieceSize`; otherwise empty. */
  readonly pieces: readonly BlockPieces[];
}

/**
 * Moves the pages of a plan. When the promise settles, all of the engine's threads have ended.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} the first error that the engine met
 */
export async function runTransfer(plan: TransferPlan, options: TransferOptions): Promise<TransferOutcome> {
  options.signal?.throwIfAborted();
  const { BindingTransfer } = binding();
  const transfer = new BindingTransfer(bindingPlan(plan, options));
  const { outcome, report } = await runJob(transfer, options);
  return { report, buffers: outcome.buffers, pieces: outcome.pieces };
}

type BindingPlan = ConstructorParameters<BindingModule['BindingTransfer']>[0];
type BindingMemory = NonNullable<BindingPlan['regions'][number]['memory']>;

function bindingPlan(plan: TransferPlan, options: TransferOptions): BindingPlan {
  return defined({
    direction: plan.direction,
    snapshot: defined(plan.file),
    regions: plan.regions.map(({ name, memory, area, storeZeroPages, only, memoryIsZero }) =>
      defined({
        name,
        memory: memory && bindingMemory(memory),
        area,
        storeZeroPages: only === undefined ? storeZeroPages : storesZeros(name, only),
        only: only && bindingOnly(only),
        memoryIsZero,
      }),
    ),
    pieceSize: plan.pieceSize,
    options: bindingOptions(pieceRequests(options, plan.pieceSize)),
  });
}

/** Turns memory into the binding's form. */
export function bindingMemory(memory: TransferMemory): BindingMemory {
  const { path, fd, buffer, bufferLength, offset = 0, area, copy } = memory;
  const place = memory.process && bindingProcess(memory.process);
  const block = { copy: copy?.native, copiedBlock: copy?.block };
  return defined({ path, fd, buffer, bufferLength, offset, area, process: place, ...block });
}

function bindingProcess({ pid, address, pages = 'data' }: ProcessBlock): BindingMemory['process'] {
  assertPid(pid);
  assertWord('pages', pages, PROCESS_PAGES);
  return { pid, address, pages };
}

function storesZeros(name: string, { zeros }: OnlyPages): boolean {
  assertWord(`zeros of block ${name}`, zeros, ZEROS);
  return zeros === 'store';
}

function bindingOnly({ runs, bitmap, base }: OnlyPages): BindingPlan['regions'][number]['only'] {
  const bits = base === 'in-place' ? undefined : base;
  return defined({ runs, bitmap, base: bits, baseInPlace: base === 'in-place' });
}

export function bindingOptions(options: TransferOptions): BindingPlan['options'] {
  return defined(engineOptions(options));
}
