import type { MigrationInfo, MigrationRamInfo } from '../errors.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpObject, type QmpObject, type QmpValue } from '../qmp/json.ts';
import type { WaitOptions } from '../host/wait-within.ts';

export type { MigrationInfo, MigrationRamInfo } from '../errors.ts';

/** @throws {MappedRamError} as {@link QmpClient.execute} */
export async function queryMigration(qmp: QmpClient, options: WaitOptions = {}): Promise<MigrationInfo> {
  const reply = await qmp.execute('query-migrate', undefined, options);
  if (!isQmpObject(reply)) return { status: 'none' };
  const { status, 'error-desc': errorDesc, 'total-time': totalTimeMs, ram } = reply;
  return {
    status: typeof status === 'string' ? status : 'none',
    ...(typeof errorDesc === 'string' ? { errorDesc } : {}),
    ...(typeof totalTimeMs === 'number' ? { totalTimeMs } : {}),
    ...(isQmpObject(ram)
      ? {
          ram: {
            totalBytes: count(ram['total']),
            remainingBytes: count(ram['remaining']),
            transferredBytes: count(ram['transferred']),
            normalPages: count(ram['normal']),
            zeroPages: count(ram['duplicate']),
            pageSize: count(ram['page-size']),
            ...passesOf(ram),
          },
        }
      : {}),
  };
}

/** States of a migration that has ended, whichever way, or never began. */
const ENDED = new Set(['none', 'completed', 'failed', 'cancelled']);

/** True when a migration is under way. @param status as query-migrate reports it */
export function isUnderWay(status: string): boolean {
  return !ENDED.has(status);
}

/**
 * True for a guest that runs already while its memory is on its way (docs/format.md §14).
 * @param status as query-migrate reports it: no save of this package has one of these
 */
export function isComing(status: string): boolean {
  return status.startsWith('postcopy');
}

function passesOf({
  'dirty-sync-count': passes,
  'dirty-pages-rate': rate,
}: QmpObject): Pick<MigrationRamInfo, 'passes' | 'dirtyPagesPerSecond'> {
  return {
    ...(typeof passes === 'number' ? { passes } : {}),
    // QEMU says 0 until it has measured, which it does between two looks that are a second or more apart.
    ...(typeof rate === 'number' && rate > 0 ? { dirtyPagesPerSecond: rate } : {}),
  };
}

function count(value: QmpValue | undefined): number {
  return typeof value === 'number' ? value : 0;
}
