import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import { comparePages } from '../pages/compare-pages.ts';
import { BlockDiff } from './block-diff.ts';
import { pairBlocks, pairWithRam, type BlockPair } from './block-pairs.ts';
import { diffSections, type SectionDiff } from './section-diff.ts';
import { PageDifferences } from './page-differences.ts';
import type { RamLocation } from '../snapshot/ram-location.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';

/** A guest's memory by block id, to compare with a snapshot. */
export interface RamFiles {
  readonly ram: Readonly<Record<string, RamLocation>>;
}

export interface DiffOptions extends TransferOptions {
  /**
   * Compare RAM only. RAM may be whole in a file whose end cannot be checked, such as one that QEMU wrote without a
   * vmdescription.
   * @default false
   */
  readonly ignoreDeviceState?: boolean | undefined;
}

/** The differences between two snapshots, or between a snapshot and RAM. */
export interface SnapshotDiff {
  /** The left snapshot's path. */
  readonly left: string;
  /** The right snapshot's path; undefined for RAM. */
  readonly right: string | undefined;
  /** True when nothing that was compared differs. */
  readonly equal: boolean;
  /** The machine types; undefined for RAM, which has none. */
  readonly machines: { readonly left: string; readonly right: string } | undefined;
  /** Bytes per page. */
  readonly pageSize: number;
  /**
   * Every block that was compared or that only one side has: first in the left snapshot's order, then in the right
   * one's.
   */
  readonly blocks: readonly BlockDiff[];
  /** Ids of blocks that were not compared: saved without their pages, or not among the RAM that was given. */
  readonly notCompared: readonly string[];
  /** Sections of device state that differ; undefined when device state was not compared. */
  readonly sections: readonly SectionDiff[] | undefined;
  /** The engine's report on reading the pages. Its `dataBytes` counts the pages in the files of both sides. */
  readonly transfer: TransferReport;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}

/**
 * Compares two snapshots page by page, and their device state field by field; or compares the RAM of a snapshot with a
 * guest's memory. Pages that are in neither file are equal without being read. A zero page equals one that is not in
 * the file (docs/format.md §2.5).
 *
 * The memory used grows with the blocks' pages: by two bits for each page, and by one bit for each side's bitmap.
 *
 * @param left a complete snapshot, by its place or open; an open one stays open
 * @param right another one; or RAM, as in `{ ram: { 'pc.ram': '/dev/shm/guest.ram' } }`. Then just these blocks are
 * compared, and no device state. The guest must be stopped
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_INVALID_ARGUMENT for RAM of a block that the
 * snapshot does not have and for page sizes that differ, ERR_MAPPED_RAM_TRUNCATED, ERR_MAPPED_RAM_UNSUPPORTED for a
 * plain stream and for RAM of a block without pages, and as `Snapshot.open`
 */
export async function diff(
  left: SnapshotSource | Snapshot,
  right: SnapshotSource | Snapshot | RamFiles,
  options: DiffOptions = {},
): Promise<SnapshotDiff> {
  const startedAt = performance.now();
  assertOptions(options);
  options.signal?.throwIfAborted();
  const { signal } = options;
  const found = await usingSnapshot(left, signal, (snapshot) =>
    isRam(right)
      ? diffWithRam(snapshot, right, options)
      : usingSnapshot(right, signal, (other) => diffSnapshots(snapshot, other, options)),
  );
  return finish(startedAt, found);
}

type Differences = Omit<SnapshotDiff, 'equal' | 'elapsedMs'>;

function finish(startedAt: number, differences: Differences): SnapshotDiff {
  const { left, right, ...rest } = differences;
  const { machines, blocks, sections = [] } = rest;
  const isEqual =
    machines?.left === machines?.right && blocks.every(({ equal }) => equal) && sections.length === 0;
  return { left, right, equal: isEqual, ...rest, elapsedMs: performance.now() - startedAt };
}

async function diffSnapshots(left: Snapshot, right: Snapshot, options: DiffOptions): Promise<Differences> {
  const { ignoreDeviceState = false } = options;
  const [leftRam, rightRam] = [left.completeRam(ignoreDeviceState), right.completeRam(ignoreDeviceState)];
  const pageSize = leftRam.targetPageSize;
  if (rightRam.targetPageSize !== pageSize) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'the snapshots have pages of different sizes',
      {
        path: right.path,
        expected: pageSize,
        found: rightRam.targetPageSize,
      },
    );
  }
  const { pairs, notCompared } = pairBlocks(leftRam, rightRam);
  const { blocks, transfer } = await comparePairs(pairs, left, right, pageSize, options);
  const sections = ignoreDeviceState ? undefined : await diffSections(left, right);
  return {
    left: left.path,
    right: right.path,
    machines: { left: left.index.machine, right: right.index.machine },
    pageSize,
    blocks,
    notCompared,
    sections,
    transfer,
  };
}

async function diffWithRam(left: Snapshot, right: RamFiles, options: DiffOptions): Promise<Differences> {
  const ram = left.completeRam(options.ignoreDeviceState);
  const { pairs, notCompared } = await pairWithRam(ram, right.ram, left.path);
  const { blocks, transfer } = await comparePairs(pairs, left, undefined, ram.targetPageSize, options);
  return {
    left: left.path,
    right: undefined,
    machines: undefined,
    pageSize: ram.targetPageSize,
    blocks,
    notCompared,
    sections: undefined,
    transfer,
  };
}

async function comparePairs(
  pairs: readonly BlockPair[],
  left: Snapshot,
  right: Snapshot | undefined,
  pageSize: number,
  options: TransferOptions,
): Promise<{ readonly blocks: readonly BlockDiff[]; readonly transfer: TransferReport }> {
  const compared = pairs.flatMap((pair) => (pair.compared === undefined ? [] : [pair.compared]));
  const plan = { left: left.reader, right: right?.reader, blocks: compared };
  const { report, differences } = await comparePages(plan, options);
  const found = new Map(compared.map(({ name }, index) => [name, differences[index]]));
  const blocks = pairs.map(({ id, left: leftLength, right: rightLength, compared: both }) => {
    const bytes = found.get(id) ?? new Uint8Array();
    const pages = new PageDifferences(bytes, (both?.left.length ?? 0) / pageSize);
    return new BlockDiff(id, { left: leftLength, right: rightLength }, pageSize, pages);
  });
  return { blocks, transfer: report };
}

function isRam(right: SnapshotSource | Snapshot | RamFiles): right is RamFiles {
  return typeof right === 'object' && right !== null && 'ram' in right;
}
