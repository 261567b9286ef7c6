import { setTimeout as delay } from 'node:timers/promises';

import { isComing, queryMigration } from './migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import type { WaitOptions } from '../host/wait-within.ts';

const POLL_MS = 2;

/**
 * Waits until QEMU has cleared up behind a save, whichever way it ended. QEMU reports `completed` a moment before that.
 * In between, QEMU refuses `cont` and still uses descriptors, and the capabilities of that moment decide what it clears
 * up.
 *
 * @param options `timeoutMs` limits the wait; the function returns then, too
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function untilFinalized(qmp: QmpClient, { timeoutMs }: WaitOptions = {}): Promise<void> {
  const endsAt = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs;
  while (Date.now() < endsAt) {
    const { status } = await qmp.execute('query-status', undefined, { timeoutMs });
    if (status !== 'finish-migrate' && !(await isAtWork(qmp, timeoutMs))) return;
    await delay(POLL_MS);
  }
}

/** True while an outgoing migration can be yanked: from its beginning until QEMU has cleared up behind it. */
async function isAtWork(qmp: QmpClient, timeoutMs: number | undefined): Promise<boolean> {
  try {
    const instances = await qmp.execute('query-yank', undefined, { timeoutMs });
    if (!instances.some(({ type }) => type === 'migration')) return false;
    // An incoming one that brings a guest's memory has the same name.
    return !isComing((await queryMigration(qmp, { timeoutMs })).status);
  } catch (error) {
    // A QEMU may be built without yank.
    if (isQmpRefusal(error)) return false;
    throw error;
  }
}
