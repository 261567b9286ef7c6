import { setTimeout as delay } from 'node:timers/promises';

import { type MigrationInfo, queryMigration } from './migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import { untilFinalized } from './until-finalized.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/** Bytes per second. QEMU counts in tenths of a second, so that a smaller limit could round to 0, "no limit". */
const SLOW = 4096;
/** QEMU obeys a new limit from its next tenth of a second on. */
const OBEYED_MS = 150;
/** Channels that have sent no page for this long are idle until the next tenth of a second. */
const IDLE_MS = 40;
const POLL_MS = 5;
const PATIENCE_MS = 5000;

/** States in which the channels have work, or will have. */
const AT_WORK = new Set(['setup', 'active']);
/** States in which there is nothing left to cancel. */
const OVER = new Set(['none', 'cancelling', 'cancelled', 'completed', 'failed']);

/**
 * Cancels an outgoing migration, if one is under way, and waits until QEMU has cleared up behind it. QEMU 10.0 dies
 * when it is told to cancel while the channels of multifd are at work (docs/format.md §7.1). So this function slows the
 * channels down first, and cancels when they are idle.
 *
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function cancelMigration(qmp: QmpClient, wait: WaitOptions): Promise<void> {
  const { 'max-bandwidth': before } = await qmp.execute('query-migrate-parameters', undefined, wait);
  const isSlow = (await isMultifd(qmp, wait)) && (await calmDown(qmp, wait));
  const { status } = await queryMigration(qmp, wait);
  if (!OVER.has(status)) await qmp.execute('migrate_cancel', undefined, wait);
  await untilFinalized(qmp, wait);
  if (isSlow) await qmp.execute('migrate-set-parameters', { 'max-bandwidth': before }, wait);
}

async function isMultifd(qmp: QmpClient, wait: WaitOptions): Promise<boolean> {
  const states = await qmp.execute('query-migrate-capabilities', undefined, wait);
  return states.some(({ capability, state }) => capability === 'multifd' && state);
}

/** @returns true when the limit was changed */
async function calmDown(qmp: QmpClient, wait: WaitOptions): Promise<boolean> {
  let info = await queryMigration(qmp, wait);
  if (!AT_WORK.has(info.status)) return false;
  try {
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': SLOW }, wait);
  } catch (error) {
    // A migration that cannot be slowed down is cancelled as it is.
    if (isQmpRefusal(error)) return false;
    throw error;
  }
  const slowedAt = performance.now();
  let changedAt = slowedAt;
  while (AT_WORK.has(info.status) && performance.now() - slowedAt < PATIENCE_MS) {
    const now = performance.now();
    const isObeyed = now - slowedAt >= OBEYED_MS;
    if (info.status === 'active' && isObeyed && now - changedAt >= IDLE_MS) break;
    await delay(POLL_MS);
    const next = await queryMigration(qmp, wait);
    if (pagesOf(next) !== pagesOf(info)) changedAt = performance.now();
    info = next;
  }
  return true;
}

function pagesOf({ ram }: MigrationInfo): number {
  return ram === undefined ? 0 : ram.normalPages + ram.zeroPages;
}
