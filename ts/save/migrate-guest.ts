import { MappedRamError } from '../errors.ts';
import { queryDiskUsers } from '../qemu/disk-users.ts';
import { migrateOut, type MigrationRunOptions } from '../qemu/migration.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';

/** Limit in milliseconds for the question after a failure. */
const ASK_MS = 5000;

/**
 * Lets QEMU write, and adds to the words about a failure what else uses QEMU's disks: QEMU says of those only "Bad
 * address" (docs/format.md §7.1 17), and one may have begun since the plan was made.
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
    if (users.length === 0) throw error;
    const { code, shortMessage, migration } = error;
    const words = users.map((user) => user.words).join(', ');
    throw new MappedRamError(code, `${shortMessage}; perhaps because its disks are in use by ${words}`, {
      migration,
      cause: error,
      tellsCause: true,
    });
  }
}
