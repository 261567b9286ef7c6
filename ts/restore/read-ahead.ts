import type { Snapshot } from '../snapshot/snapshot.ts';
import { type ReadingAhead, readWorkingSetAhead } from '../working-set/read-working-set-ahead.ts';
import type { Mode } from './modes/mode.ts';
import type { PrepareOptions } from './options.ts';

/** Reading ahead beside a restore. Disposal ends it, unless the restore has worked. */
export interface Ahead extends AsyncDisposable {
  readonly warnings: readonly string[];
  /** Lets the reading go on when the restore is done. */
  goOn(): ReadingAhead | undefined;
  /** Ends the reading, and waits for its end. */
  end(): Promise<void>;
}

/**
 * Begins to read the working set of a snapshot ahead, where the mode has a use for it.
 * @throws {MappedRamError} as `readWorkingSetAhead`
 */
export async function readAhead(
  snapshot: Snapshot,
  mode: Mode,
  { workingSet = 'auto', signal }: PrepareOptions,
): Promise<Ahead> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const isOn = workingSet !== 'off' && mode.options.includes('workingSet');
  const path = typeof workingSet === 'object' ? workingSet.path : undefined;
  const { reading, warnings } = isOn ? await readWorkingSetAhead(snapshot, path, either) : { warnings: [] };
  let goesOn = false;
  const end = async (): Promise<void> => {
    stop.abort();
    await reading?.whenAsked.catch(() => undefined);
  };
  return {
    warnings,
    goOn: () => {
      goesOn = true;
      return reading;
    },
    end,
    [Symbol.asyncDispose]: async () => (goesOn ? undefined : end()),
  };
}
