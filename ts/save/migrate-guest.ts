import { dirname } from 'node:path';

import { MappedRamError } from '../errors.ts';
import { freeBytesIn } from '../host/filesystem.ts';
import { queryDiskUsers } from '../qemu/disk-users.ts';
import { migrateOut, type MigrationRunOptions } from '../qemu/migration.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';

/** A medium with fewer bytes left counts as full. */
const FULL = 2 ** 20;
/** Limit in milliseconds for the question after a failure. */
const ASK_MS = 5000;

/**
 * Lets QEMU write, and adds to the words about a failure what QEMU does not say. What else uses its disks may have begun
 * since the plan was made, and is "Bad address" (docs/format.md §7.1 17). A full medium may be "Input/output error".
 * @throws {MappedRamError} as `migrateOut`
 */
export async function migrateGuest(
  qmp: QmpClient,
  address: MigrationAddress,
  options: MigrationRunOptions,
): Promise<MigrationInfo> {
  try {
    return await migrateOut(qmp, address, options);
  } catch (error) {
    if (!(error instanceof MappedRamError) || error.migration?.status !== 'failed') throw error;
    const users = await queryDiskUsers(qmp, { timeoutMs: ASK_MS }).catch(() => []);
    const directory = dirname(options.place ?? '');
    const free = await freeBytesIn(directory);
    const reasons = [
      ...(free < FULL ? [`${directory} has ${free} bytes left`] : []),
      ...(users.length === 0
        ? []
        : [`its disks are in use by ${users.map(({ words }) => words).join(', ')}`]),
    ];
    if (reasons.length === 0) throw error;
    const words = `QEMU could not save the guest, perhaps because ${reasons.join(', and ')}`;
    throw new MappedRamError(error.code, words, { migration: error.migration, cause: error });
  }
}
