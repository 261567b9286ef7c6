import { randomUUID } from 'node:crypto';

import { getFd } from '../qemu/descriptors.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { lockFile } from '../engine/file-lock.ts';
import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/**
 * Locks a snapshot for reading, and the base of a delta. The lock lasts until the snapshot is closed and every QEMU that received it is gone.
 *
 * @returns true when the filesystem has such locks
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY when somebody is writing the file
 */
export function holdSnapshot(snapshot: Snapshot): boolean {
  const files = snapshot.sources.map((source) => localFile(source, 'a restore'));
  // No file is left out because another has no lock.
  return files.map(({ fd, name }) => lockFile(fd, 'shared', name)).every(Boolean);
}

/**
 * Hands the lock to a QEMU that maps the snapshot, or the base of a delta. QEMU keeps a duplicate of the locked descriptor for as long as it
 * lives.
 *
 * @returns true when that was possible: descriptors get to QEMU
 * @throws {MappedRamError} as `getFd`
 */
export async function handHold(qmp: QmpClient, snapshot: Snapshot, wait: WaitOptions): Promise<boolean> {
  const { passesDescriptors } = await identifyQemu(qmp, wait);
  if (!passesDescriptors) return false;
  // QEMU accepts only names that do not begin with a digit.
  await getFd(qmp, localFile(snapshot.mappable.reader, 'a restore').fd, `mapped-ram-${randomUUID()}`, wait);
  return true;
}
