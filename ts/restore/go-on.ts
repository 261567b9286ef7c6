import type { WaitOptions } from '../host/wait-within.ts';
import type { Examined, LoadedGuest } from './examine.ts';
import { meantBy } from './recorded-state.ts';
import { type AfterRestore, settle } from './run-state.ts';

/**
 * Brings a guest that was loaded with `after: 'stop'` into the state that it is to have.
 * @returns the guest as it is then; `loadMs` is the time that this took
 * @throws {MappedRamError} as `settle`
 */
export async function letGoOn(
  { run, recorded }: Pick<Examined, 'run' | 'recorded'>,
  loaded: LoadedGuest,
  after: AfterRestore,
  wait: WaitOptions,
): Promise<LoadedGuest> {
  const startedAt = performance.now();
  const meant = meantBy(after, run.snapshot, recorded);
  // QEMU has loaded the guest such that it is paused, or as it was.
  const { runState, readyAt } =
    meant === 'cont'
      ? await settle(run.qmp, meant, wait, loaded.runState)
      : { runState: loaded.runState, readyAt: performance.now() };
  return { ...loaded, runState, readyAt, loadMs: readyAt - startedAt };
}
