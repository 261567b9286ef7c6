import type { QmpClient } from '../qmp/client.ts';
import type { ForkOptions } from './fork-options.ts';
import type { Fork } from './forked-guest.ts';
import { prepareFork } from './prepare-fork.ts';

/**
 * Forks a running guest: after one short pause, `n` clones go on from there, and so does the guest itself. Each clone has
 * a QEMU of its own; memory that nobody has changed is shared, and never goes to a disk. `prepareFork` starts the QEMUs
 * beforehand, for a fork in a tenth of a second.
 *
 * Everything is checked before the guest stops: options, command lines, the QEMUs of the clones. An error or an abort
 * ends all clones and lets the guest go on; no process, file or descriptor is left. Disks are not forked: see
 * docs/fork.md.
 *
 * @param qmp a connection to the QEMU whose guest is to be forked. It stays the caller's
 * @param n the number of clones, 1 to 256
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for options that make no sense, disks that two clones would
 *   write to, and a command line that does not fit the guest, naming the clone and every reason;
 *   ERR_MAPPED_RAM_OUT_OF_RANGE for `n`; ERR_MAPPED_RAM_UNSUPPORTED for a QEMU that cannot map memory privately, and a
 *   guest that cannot be forked; ERR_MAPPED_RAM_BUSY when another save or fork has the
 *   guest, or another QEMU a clone's disk; ERR_MAPPED_RAM_QEMU when a QEMU does not start, fails or dies;
 *   ERR_MAPPED_RAM_TIMEOUT; ERR_MAPPED_RAM_IO; and as `save`
 */
export async function fork(qmp: QmpClient, n: number, options: ForkOptions): Promise<Fork> {
  const calledAt = performance.now();
  await using slots = await prepareFork(qmp, n, options);
  return await slots.forkSince(calledAt, { signal: options.signal });
}
