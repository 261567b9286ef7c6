import type { TransferOptions } from '../engine/transfer-options.ts';
import type { ChangedPages, PageStretch } from '../pages/overlay/save-changes.ts';
import type { RamLocation } from '../snapshot/ram-location.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** A block's memory as it is now, and the pages that may differ from the base. */
export interface ChangedMemory {
  /** The memory: as for `pack`, or another snapshot, which has the block under the same name. */
  readonly memory: RamLocation | Snapshot;
  /**
   * The pages that may differ from the base, in order and apart; all others are the base's. Blocks that a restore does
   * not map out of the base (firmware, video memory, …) are best given whole: QEMU can then load the delta by itself.
   * @default all pages
   */
  readonly changed?: readonly PageStretch[] | undefined;
  /** Leaves out pages that are as in the base, which is read for that. @default false */
  readonly compare?: boolean | undefined;
}

export interface WriteDeltaOptions extends Pick<TransferOptions, 'signal' | 'onProgress'> {
  /** The whole snapshot that the delta stands on. It must stay as it is for as long as the delta is to be read. */
  readonly base: SnapshotSource | Snapshot;
  /**
   * The device state: a plain stream with or without pages, or a mapped-ram file. Its machine type and its blocks must be
   * those of the base. One that is open as a `Snapshot` stays open.
   */
  readonly state: SnapshotSource | Snapshot;
  /** Every block of the base, by id. A block that has not changed has `changed: []`. */
  readonly ram: Readonly<Record<string, ChangedMemory>>;
  /** The run state that the delta records, in QEMU's words. @default that of `state` */
  readonly runState?: string | undefined;
  /** True when the result may replace an existing file. @default false */
  readonly overwrite?: boolean | undefined;
}

export interface DeltaResult {
  /** The delta's path, its descriptor in words, or the storage's name. */
  readonly path: string;
  /** Offset of the stream in the file, in bytes. QEMU's own head is 64 KiB behind it. */
  readonly offset: number;
  /** Apparent size of the file, in bytes. */
  readonly size: number;
  /** The base's path. */
  readonly base: string;
  readonly blocks: readonly ChangedPages[];
  /** Bytes of pages that were written. */
  readonly dataBytes: number;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}
