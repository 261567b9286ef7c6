import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { GuestPool } from './guest-pool.ts';
import { checkPoolOptions, type PoolOptions, poolMode } from './pool-options.ts';
import { PoolRecipe } from './pool-recipe.ts';

/**
 * Makes a pool of QEMUs that wait with a snapshot: `take` gives a running guest in milliseconds, and the pool starts the
 * next one behind it. Options, snapshot and command lines are checked before the first process is started. The pool is
 * there when its first QEMU waits; the others follow.
 *
 * The pool locks the snapshot against writers, and shares one device state among its guests. An open `Snapshot` stays
 * the caller's, and has to stay open for as long as the pool. When this rejects, no process, file or descriptor is left.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for options that make no sense, a mode that does not map the
 *   snapshot, disks that two guests cannot share, and as `restore`; ERR_MAPPED_RAM_UNSUPPORTED for a QEMU that cannot map
 *   it; ERR_MAPPED_RAM_BUSY when somebody writes the snapshot, or another QEMU has the first guest's disk; as `restore`
 *   and `openStateStream`
 */
export async function createPool(
  source: SnapshotSource | Snapshot,
  options: PoolOptions,
): Promise<GuestPool> {
  const checked = checkPoolOptions(options);
  const mode = poolMode(checked.mode);
  checked.signal?.throwIfAborted();
  const recipe = await PoolRecipe.make(source, mode, checked);
  const pool = new GuestPool(recipe, checked);
  try {
    await pool.fill(checked.signal);
    return pool;
  } catch (error) {
    await pool.close();
    throw error;
  }
}
