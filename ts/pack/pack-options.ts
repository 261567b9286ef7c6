import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { SealingOptions } from '../seal/sealing.ts';
import type { RamLocation } from '../snapshot/ram-location.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';

export interface PackOptions extends TransferOptions, Pick<SealingOptions, 'seal' | 'sealPath'> {
  /**
   * A device-state stream that QEMU wrote: a plain `file:` migration, best with x-ignore-shared, so that shared RAM is
   * not in it. A string is a path or a `file:` migration URI. A stream that is open as a `Snapshot` stays open.
   */
  readonly state: SnapshotSource | Snapshot;
  /**
   * The memory of blocks, by block id. A block that is not named here must have its pages in the state.
   * @default {}
   */
  readonly ram?: Readonly<Record<string, RamLocation>> | undefined;
  /** True when the result may replace an existing snapshot. @default false */
  readonly overwrite?: boolean | undefined;
  /**
   * Blocks whose zero pages are written too, because a restore does not find their memory empty.
   * @default 'firmware', which means the pflash of any machine (`system.flash0`, `virt.flash1`, …)
   */
  readonly storeZeroPages?: 'firmware' | 'all' | readonly string[] | undefined;
}

export interface PackResult {
  /** The snapshot's path, its descriptor in words, or the storage's name. */
  readonly path: string;
  /** Offset of the stream's start in the file, in bytes. */
  readonly offset: number;
  /** Apparent size of the file, in bytes. */
  readonly size: number;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  readonly transfer: TransferReport;
  /** The seal's path; undefined without one. */
  readonly seal: string | undefined;
  /** Milliseconds that the whole call took: transfer, headers, device state, and making the file durable. */
  readonly elapsedMs: number;
}
