import { setTimeout as delay } from 'node:timers/promises';

import { areThreadsAsleep } from '../host/threads-asleep.ts';
import { identifyQemu } from './identify-qemu.ts';
import { type MigrationInfo, queryMigration } from './migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import { untilFinalized } from './until-finalized.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/** Bytes per second. QEMU counts in tenths of a second, so that a smaller limit could round to 0, "no limit". */
const SLOW = 4096;
/** QEMU obeys a new limit from its next tenth of a second on. */
const OBEYED_MS = 150;
/** Channels whose threads cannot be seen count as idle when they have sent no page for this long. */
const IDLE_MS = 40;
/** Within this time of the last page no channel gets another: QEMU hands out work at most each tenth of a second. */
const QUIET_MS = 60;
const POLL_MS = 4;
const PATIENCE_MS = 5000;

/** States in which the channels have work, or will have. */
const AT_WORK = new Set(['setup', 'active']);
/** The state of the last round: the guest stands still, and no limit holds QEMU back. */
const LAST_ROUND = 'device';
/** States in which there is nothing left to cancel. */
const OVER = new Set(['none', 'cancelling', 'cancelled', 'completed', 'failed']);

/**
 * Cancels an outgoing migration, if one is under way, and waits until QEMU has cleared up behind it. QEMU 10.0 dies
 * when it is told to cancel while the channels of multifd are at work (docs/format.md §7.1). So this function slows the
 * channels down first, and cancels when they are idle. Nothing slows the last round down, which is as short as the pause
 * that the save is allowed: this function waits for its end, and then there is nothing left to cancel.
 *
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function cancelMigration(qmp: QmpClient, wait: WaitOptions): Promise<void> {
  const { 'max-bandwidth': before } = await qmp.execute('query-migrate-parameters', undefined, wait);
  const hasChannels = await isMultifd(qmp, wait);
  const calmed = hasChannels ? await calmDown(qmp, wait) : undefined;
  const isSlow = calmed !== undefined;
  // A slow migration is cancelled at once, without another question: the channels are idle for a short time only.
  let status = calmed?.status ?? (await queryMigration(qmp, wait)).status;
  if (hasChannels && status === LAST_ROUND) status = await afterLastRound(qmp, wait);
  if (!OVER.has(status)) await qmp.execute('migrate_cancel', undefined, wait);
  await untilFinalized(qmp, wait);
  if (isSlow) await qmp.execute('migrate-set-parameters', { 'max-bandwidth': before }, wait);
}

async function isMultifd(qmp: QmpClient, wait: WaitOptions): Promise<boolean> {
  const states = await qmp.execute('query-migrate-capabilities', undefined, wait);
  return states.some(({ capability, state }) => capability === 'multifd' && state);
}

/** @returns QEMU's last answer, when the limit was changed */
async function calmDown(qmp: QmpClient, wait: WaitOptions): Promise<MigrationInfo | undefined> {
  let info = await queryMigration(qmp, wait);
  if (!AT_WORK.has(info.status)) return undefined;
  const areAsleep = await channelsAsleep(qmp, wait);
  try {
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': SLOW }, wait);
  } catch (error) {
    // A migration that cannot be slowed down is cancelled as it is.
    if (isQmpRefusal(error)) return undefined;
    throw error;
  }
  const slowedAt = performance.now();
  let askedAt = slowedAt;
  // The last page was sent between these two moments.
  let sent = { after: slowedAt, before: slowedAt };
  while (AT_WORK.has(info.status) && performance.now() - slowedAt < PATIENCE_MS) {
    if (info.status === 'active' && askedAt - slowedAt >= OBEYED_MS && isIdle(sent, areAsleep)) break;
    await delay(POLL_MS);
    const next = await queryMigration(qmp, wait);
    const now = performance.now();
    if (pagesOf(next) !== pagesOf(info)) sent = { after: askedAt, before: now };
    askedAt = now;
    info = next;
  }
  return info;
}

/** Waits, within reason, until the last round is over. @returns QEMU's status then */
async function afterLastRound(qmp: QmpClient, wait: WaitOptions): Promise<string> {
  const endsAt = performance.now() + PATIENCE_MS;
  for (;;) {
    const { status } = await queryMigration(qmp, wait);
    if (status !== LAST_ROUND || performance.now() > endsAt) return status;
    await delay(POLL_MS);
  }
}

/**
 * Idle channels have sent their pages of this tenth of a second. A channel that has work, but no processor yet, sends
 * nothing, either: only the state of its thread tells it from an idle one.
 */
function isIdle(
  sent: { readonly after: number; readonly before: number },
  areAsleep: () => boolean | undefined,
): boolean {
  const now = performance.now();
  const asleep = areAsleep();
  return asleep === undefined ? now - sent.before >= IDLE_MS : asleep && now - sent.after < QUIET_MS;
}

/**
 * Makes the question whether all threads of QEMU sleep, but those that run the guest and the one that answers.
 * @returns a function whose answer is undefined where nobody can see that
 */
async function channelsAsleep(qmp: QmpClient, wait: WaitOptions): Promise<() => boolean | undefined> {
  const { pid } = await identifyQemu(qmp, wait);
  if (pid === undefined) return () => undefined;
  const cpus = await qmp.execute('query-cpus-fast', undefined, wait);
  const threads = new Set(cpus.map(({ 'thread-id': id }) => Number(id)));
  return () => areThreadsAsleep(pid, threads);
}

function pagesOf({ ram }: MigrationInfo): number {
  return ram === undefined ? 0 : ram.normalPages + ram.zeroPages;
}
