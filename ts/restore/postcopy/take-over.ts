import { setTimeout as delay } from 'node:timers/promises';

import type { WaitOptions } from '../../host/wait-within.ts';
import { isUnderWay, queryMigration } from '../../qemu/migration-info.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { isQmpRefusal } from '../../qmp/refusal.ts';
import { formatMigrationUri } from '../../uri/format-migration-uri.ts';

/** Limit in milliseconds for QEMU to see that its source is gone. */
const PAUSE_MS = 60_000;
/** Limit in milliseconds for an answer of QEMU's main thread, which may wait for a page itself. */
const ANSWER_MS = 1000;
const POLL_MS = 5;

/** The end of a migration: QEMU needs no other source, or none can help it. */
export type MigrationEnd = 'completed' | 'ended';

/**
 * Lets a QEMU that has lost the source of its memory listen for another one at `path`. QEMU may take a moment to see
 * that it has lost it. Its main thread may wait for a page itself, so the command goes beside it where it can.
 * @returns the migration's end, if it has come to one meanwhile
 * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU refuses for a minute
 */
export async function listenAnew(
  qmp: QmpClient,
  path: string,
  wait: WaitOptions,
): Promise<MigrationEnd | undefined> {
  const uri = formatMigrationUri({ transport: 'socket', type: 'unix', path });
  for (
    const until = performance.now() + PAUSE_MS;
    ;
    await delay(POLL_MS, undefined, { signal: wait.signal })
  ) {
    try {
      await qmp.execute('migrate-recover', { uri }, { ...wait, oob: true });
      return undefined;
    } catch (error) {
      wait.signal?.throwIfAborted();
      const end = await endOf(qmp);
      if (end !== undefined) return end;
      if (!isQmpRefusal(error) || performance.now() > until) throw error;
    }
  }
}

/** The migration's end, if QEMU tells of one. A QEMU that does not answer may only be waiting for a page. */
export async function endOf(qmp: QmpClient): Promise<MigrationEnd | undefined> {
  try {
    const { status } = await queryMigration(qmp, { timeoutMs: ANSWER_MS });
    if (status === 'completed') return 'completed';
    return isUnderWay(status) ? undefined : 'ended';
  } catch {
    return qmp.isOpen ? undefined : 'ended';
  }
}
