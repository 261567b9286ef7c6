import type { OnlyPages, TransferMemory, TransferRegion } from '../../engine/transfer.ts';
import { type ByteRuns, complementOf } from '../../pages/byte-runs.ts';
import type { PageArea } from '../../stream/page-area.ts';
import type { TakenBlock } from './captured-memory.ts';

/**
 * The form in which a guest is written: `whole`, into a new file; `delta`, the changed pages only; `clone`, whole, over a
 * file that shares the base's blocks.
 */
export type CaptureKind = 'whole' | 'delta' | 'clone';

/** A block and its place in the output. */
export interface PlacedBlock {
  readonly block: TakenBlock;
  readonly area: PageArea;
  /** True when the base has the pages that the process does not have. */
  readonly isOnBase: boolean;
}

/** The regions of several transfers, one after the other. */
export interface Passes {
  /** Transfers that have to end before the guest goes on. */
  readonly inPause: readonly (readonly TransferRegion[])[];
  readonly after: readonly (readonly TransferRegion[])[];
}

/** A part of a block's pages, which comes from one place. */
interface Part {
  readonly memory: TransferMemory;
  readonly runs: ByteRuns;
}

/**
 * Tells whether each page of a block that the process does not have comes from its file. Everywhere else such pages are the
 * base's, where the block is on it, or zeros: a private file that QEMU may change was looked into, and has no data there.
 */
export function isFileAll({ kind, file }: Pick<TakenBlock, 'kind' | 'file'>): boolean {
  return kind === 'private' && file !== undefined;
}

/** Works out which pages of each block go where, and when. */
export function passesOf(placed: readonly PlacedBlock[], kind: CaptureKind): Passes {
  const inPause: TransferRegion[][] = [];
  const after: TransferRegion[][] = [];
  for (const one of placed) {
    const parts = partsOf(one);
    const early = parts.inPause.length;
    for (const [index, part] of [...parts.inPause, ...parts.after].entries()) {
      const [passes, number] = index < early ? [inPause, index] : [after, index - early];
      passes[number] = [...(passes[number] ?? []), regionOf(one, part, { kind, isFirst: index === 0 })];
    }
  }
  return { inPause, after };
}

function partsOf({ block, isOnBase }: PlacedBlock): {
  readonly inPause: readonly Part[];
  readonly after: readonly Part[];
} {
  const { kind, runs, copied, left, copy, process, file, length } = block;
  const isShared = kind === 'shared';
  // The engine reads a file faster than the process that has mapped it.
  const inPause = some({ memory: isShared && file !== undefined ? file : process, runs: left });
  const beneath = isFileAll(block) && !isOnBase && file !== undefined;
  return {
    inPause,
    after: [
      ...(beneath ? some({ memory: file, runs: complementOf(runs, length) }) : []),
      ...(copy === undefined ? [] : some({ memory: copy, runs: copied })),
    ],
  };
}

function some(part: Part): readonly Part[] {
  return part.runs.length === 0 ? [] : [part];
}

function regionOf(
  { block, area, isOnBase }: PlacedBlock,
  { memory, runs }: Part,
  { kind, isFirst }: { readonly kind: CaptureKind; readonly isFirst: boolean },
): TransferRegion {
  const { id: name } = block;
  const only: OnlyPages = {
    runs,
    // A clear bit of a delta stands for the page of the base.
    zeros: kind === 'delta' && (isOnBase || !isFileAll(block)) ? 'store' : 'clear',
    ...(isFirst && kind !== 'clone' ? {} : { base: 'in-place' }),
  };
  return { name, area, memory, only };
}
