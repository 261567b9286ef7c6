import type { QmpClient } from '../qmp/client.ts';
import { isQmpObject, type QmpValue } from '../qmp/json.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/** What query-migrate says; see docs/format.md §6.3. */
export interface MigrationInfo {
  /** `none`, `setup`, `active`, `device`, `completed`, `failed`, `cancelled`, …; QEMU's words. */
  readonly status: string;
  /** Why the migration failed, in QEMU's words. */
  readonly errorDesc?: string;
  /** Milliseconds. Only on the saving side. */
  readonly totalTimeMs?: number;
  /** Only on the saving side. */
  readonly ram?: MigrationRamInfo;
}

/** QEMU's count of what it has sent of the guest's memory. */
export interface MigrationRamInfo {
  readonly totalBytes: number;
  readonly remainingBytes: number;
  readonly transferredBytes: number;
  readonly normalPages: number;
  readonly zeroPages: number;
  /** In bytes. */
  readonly pageSize: number;
}

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
          },
        }
      : {}),
  };
}

/** A migration that was ended, whichever way, or never begun. */
const ENDED = new Set(['none', 'completed', 'failed', 'cancelled']);

/** Whether a migration is: query-migrate's status. */
export function isUnderWay(status: string): boolean {
  return !ENDED.has(status);
}

function count(value: QmpValue | undefined): number {
  return typeof value === 'number' ? value : 0;
}
