import { assertOptions } from '../io/assert-options.ts';
import { assertTransferWords } from '../engine/engine-options.ts';
import { assertStoreZeroPages } from '../pages/zero-pages.ts';
import { Sealing } from '../seal/sealing.ts';
import { SEAL_OF } from '../seal/seal-file.ts';
import { createOutput, type SnapshotTarget, targetPath, targetPlace } from '../snapshot/snapshot-target.ts';
import type { PackOptions, PackResult } from './pack-options.ts';
import { Packing } from './packing.ts';

/**
 * Makes one complete mapped-ram snapshot from a device-state stream and RAM. Any QEMU ≥ 9.0 restores it.
 *
 * The file appears under its name only when it is complete: `pack` writes a file beside it, fsyncs it, renames it and
 * fsyncs the directory. When the URI has an offset, the bytes before the offset are kept, as QEMU keeps them. After an
 * error or an abort nothing is left.
 *
 * Descriptors are written in place: they are for callers who publish the file themselves.
 *
 * The seal of a snapshot that the result replaces by name is removed.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS when there is a file, ERR_MAPPED_RAM_INVALID_ARGUMENT when RAM and
 * state do not fit each other, ERR_MAPPED_RAM_INCOMPLETE for a state that is cut off, ERR_MAPPED_RAM_TRUNCATED for RAM
 * that is too small, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE, ERR_MAPPED_RAM_ENGINE_UNAVAILABLE, ERR_MAPPED_RAM_IO
 */
export async function pack(target: SnapshotTarget, options: PackOptions): Promise<PackResult> {
  const startedAt = performance.now();
  assertOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  assertTransferWords(options);
  assertStoreZeroPages(options.storeZeroPages);
  // A faulty target is reported before anything is read.
  const place = targetPlace(target);
  const path = targetPath(place);
  await using packing = await Packing.open(options, place);
  const { overwrite } = options;
  await using output = await createOutput(place, { overwrite, signal, companions: SEAL_OF });
  await using sealing = await Sealing.begin(path, options);
  const packed = await packing.write(output, options, { sealing });
  await output.finish();
  signal?.throwIfAborted();
  await output.publish();
  await sealing.publish();
  return { ...packed, seal: sealing.path, elapsedMs: performance.now() - startedAt };
}
