import { Sealing, type SealingOptions } from '../seal/sealing.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import { Packing } from './packing.ts';
import type { RamLocation } from '../snapshot/ram-location.ts';
import { snapshotPath } from '../snapshot/snapshot-path.ts';
import { SnapshotOutput, type SnapshotTarget } from '../snapshot/snapshot-output.ts';

export interface PackOptions extends TransferOptions, Pick<SealingOptions, 'seal' | 'sealPath'> {
  /**
   * A device-state stream that QEMU wrote: a plain `file:` migration, best with x-ignore-shared, so that shared RAM is
   * not in it. A path, a `file:` migration URI or a URL.
   */
  readonly state: string | URL;
  /**
   * Where the memory of blocks is, by block id. A block that is not named here must have its pages in the state.
   * @default {}
   */
  readonly ram?: Readonly<Record<string, RamLocation>> | undefined;
  /** Whether an existing snapshot may be replaced. @default false */
  readonly overwrite?: boolean | undefined;
  /**
   * Blocks whose zero pages are written too, because a restore does not find their memory empty.
   * @default 'firmware', which means flash devices (`system.flash…`)
   */
  readonly storeZeroPages?: 'firmware' | 'all' | readonly string[] | undefined;
}

export interface PackResult {
  /** The snapshot's path, or which descriptor it is. */
  readonly path: string;
  /** Where the stream starts in it. */
  readonly offset: number;
  /** Apparent size of the file. */
  readonly size: number;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  readonly transfer: TransferReport;
  /** The seal's path; undefined without one. */
  readonly seal: string | undefined;
  /** Milliseconds for all of it: transfer, headers, device state, and making the file durable. */
  readonly elapsedMs: number;
}

/**
 * Makes one complete mapped-ram snapshot of a device-state stream and RAM: any QEMU ≥ 9.0 restores it.
 *
 * The file appears under its name only when it is complete: written beside it, fsynced, renamed, directory fsynced. With
 * an offset in the URI, the bytes before the offset are kept, as QEMU keeps them. On error or abort nothing is left.
 *
 * Descriptors are written in place: they are for callers who publish the file themselves.
 *
 * The old seal of a snapshot that is replaced by name goes with it.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS when there is a file, ERR_MAPPED_RAM_INVALID_ARGUMENT when RAM and
 * state do not fit each other, ERR_MAPPED_RAM_INCOMPLETE for a state that is cut off, ERR_MAPPED_RAM_TRUNCATED for RAM
 * that is too small, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE, ERR_MAPPED_RAM_ENGINE_UNAVAILABLE, ERR_MAPPED_RAM_IO
 */
export async function pack(target: SnapshotTarget, options: PackOptions): Promise<PackResult> {
  const startedAt = performance.now();
  const { signal } = options;
  signal?.throwIfAborted();
  // What is wrong with the target is said before anything is read.
  const path =
    typeof target === 'string' || target instanceof URL ? snapshotPath(target).filename : undefined;
  await using packing = await Packing.open(options, path);
  await using output = await SnapshotOutput.create(target, options.overwrite ?? false, signal);
  await using sealing = await Sealing.begin(path, options);
  const packed = await packing.write(output, options, { sealing });
  await output.commit();
  await sealing.publish();
  return { ...packed, seal: sealing.path, elapsedMs: performance.now() - startedAt };
}
