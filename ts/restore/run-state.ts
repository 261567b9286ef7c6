import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/**
 * What the guest is to do afterwards: run; stay stopped, without having run for a moment; or what it did when it was
 * saved.
 */
export type Then = 'run' | 'pause' | 'as-saved';

/**
 * Tells a QEMU that waits for a guest whether to start it. While it waits, `stop` and `cont` change only that, whatever
 * `-S` said; a guest that was saved while stopped stays stopped with both.
 */
export async function setAutostart(qmp: QmpClient, then: Then, wait: WaitOptions): Promise<void> {
  await qmp.execute(then === 'pause' ? 'stop' : 'cont', undefined, wait);
}

/**
 * Brings the guest into the state asked for, when QEMU reports that it has it.
 * @returns the run state, in QEMU's words
 */
export async function settle(qmp: QmpClient, then: Then, wait: WaitOptions): Promise<string> {
  const runState = async (): Promise<string> => (await qmp.execute('query-status', undefined, wait)).status;
  const status = await runState();
  if (then === 'run' && status !== 'running') {
    await qmp.execute('cont', undefined, wait);
    return runState();
  }
  if (then === 'pause' && status === 'running') {
    await qmp.execute('stop', undefined, wait);
    return runState();
  }
  return status;
}
