import { MappedRamError } from '../errors.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/**
 * The guest's state after a restore: it runs, or sleeps on if it was asleep (`cont`); it stays stopped and has not run
 * for a moment (`stop`); or it is as it was when it was saved (`as-saved`).
 */
export type AfterRestore = (typeof AFTER_RESTORE)[number];
export const AFTER_RESTORE = ['cont', 'stop', 'as-saved'] as const;

/**
 * Tells a QEMU that waits for a guest whether to start it. `stop` and `cont` change only that while QEMU waits,
 * whatever `-S` said. A guest that was saved while stopped stays stopped with both.
 */
export async function setAutostart(qmp: QmpClient, after: AfterRestore, wait: WaitOptions): Promise<void> {
  await qmp.execute(after === 'stop' ? 'stop' : 'cont', undefined, wait);
}

/**
 * Brings the guest into the wanted state, after QEMU has reported the end of the load.
 * @param known its state, where that is known. @default QEMU is asked
 * @returns the run state, in QEMU's words, and the time by `performance.now()` from which the guest is in it
 * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when the guest does not get there; as {@link QmpClient.execute}
 */
export async function settle(
  qmp: QmpClient,
  after: AfterRestore,
  wait: WaitOptions,
  known?: string,
): Promise<{ readonly runState: string; readonly readyAt: number }> {
  const runState = async (): Promise<string> => (await qmp.execute('query-status', undefined, wait)).status;
  const status = known ?? (await runState());
  // A guest that is asleep waits to be woken: it goes on as far as QEMU lets it.
  const isLive = status === 'running' || status === 'suspended';
  if (after === 'cont' && !isLive) {
    // The answers come in this order, too. QEMU answers the first when the guest runs.
    const going = qmp.execute('cont', undefined, wait).then(() => performance.now());
    const [readyAt, now] = await Promise.all([going, runState()]);
    if (now !== 'inmigrate') return { runState: now, readyAt };
    throw new MappedRamError('ERR_MAPPED_RAM_QEMU', 'QEMU has loaded the guest, and does not let it run');
  }
  if (after === 'stop' && isLive) {
    await qmp.execute('stop', undefined, wait);
    return { runState: await runState(), readyAt: performance.now() };
  }
  return { runState: status, readyAt: performance.now() };
}
