import { Sealing } from '../seal/sealing.ts';
import { removeSealOf } from '../seal/seal-file.ts';
import { createOutput, type SnapshotTarget, targetPath, targetPlace } from '../snapshot/snapshot-target.ts';
import type { PackOptions, PackResult } from './pack-options.ts';
import { Packing } from './packing.ts';

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
  // Errors in the target come before anything is read.
  const place = targetPlace(target);
  const path = targetPath(place);
  await using packing = await Packing.open(options, path);
  const { overwrite } = options;
  await using output = await createOutput(place, { overwrite, signal, removeCompanions: removeSealOf });
  await using sealing = await Sealing.begin(path, options);
  const packed = await packing.write(output, options, { sealing });
  await output.finish();
  await output.publish();
  await sealing.publish();
  return { ...packed, seal: sealing.path, elapsedMs: performance.now() - startedAt };
}
