import { putBackSettings, type Settings } from '../qemu/apply-plan.ts';
import type { QmpClient } from '../qemu/qmp-client.ts';
import { waitWithin } from '../qemu/wait-within.ts';
import type { Protection } from './protection.ts';
import { letRun } from './recovery.ts';
import type { AfterSave } from './save-options.ts';

/** QEMU answers `quit`, and then has its disks to close. */
const QUIT_MS = 60_000;

export interface Finished {
  /** What QEMU says of the guest; undefined when QEMU has quit, or does not say. */
  readonly runState: string | undefined;
  /** What did not work, in words. */
  readonly warnings: readonly string[];
}

/** Leaves QEMU as it is to be after a save that has worked: whatever goes wrong now, the snapshot is there. */
export async function finish(
  qmp: QmpClient,
  then: AfterSave,
  before: Settings,
  protection: Protection,
): Promise<Finished> {
  const warnings: string[] = [];
  const attempt = async <T>(what: string, step: () => Promise<T>): Promise<T | undefined> =>
    step().catch((error: unknown) => {
      warnings.push(`the snapshot is complete, but ${what}: ${messageOf(error)}`);
      return undefined;
    });
  if (then === 'quit') {
    await protection.release();
    await attempt('QEMU did not quit', () => quit(qmp));
    return { runState: undefined, warnings };
  }
  await attempt('QEMU did not take its settings back', () => putBackSettings(qmp, before));
  if (then === 'cont') await attempt('the guest does not go on', () => letRun(qmp));
  const status = await attempt('QEMU does not answer', () => qmp.execute('query-status'));
  await protection.release();
  return { runState: status?.status, warnings };
}

async function quit(qmp: QmpClient): Promise<void> {
  // No event passes; they end when the connection does.
  const events = qmp.events(() => false);
  const end = events.next().catch(() => undefined);
  try {
    // QEMU may be gone before its answer is here. That it goes is what counts.
    await qmp.execute('quit', undefined, { timeoutMs: QUIT_MS }).catch((error: unknown) => {
      if (qmp.isOpen) throw error;
    });
    const late = (): Error => new Error(`it still runs after ${QUIT_MS / 1000} s`);
    await waitWithin(end, { timeoutMs: QUIT_MS }, late);
  } finally {
    await events.return();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
