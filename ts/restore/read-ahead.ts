import type { Snapshot } from '../snapshot/snapshot.ts';
import { findWorkingSet } from '../working-set/find-working-set.ts';
import { type ReadingAhead, readWorkingSetAhead } from '../working-set/read-working-set-ahead.ts';
import type { WorkingSet } from '../working-set/working-set-file.ts';
import type { Mode } from './modes/mode.ts';
import type { LoadOptions, PrepareOptions } from './options.ts';

/** Reading ahead beside a restore. Disposal ends it, unless the restore has worked. */
export interface Ahead extends AsyncDisposable {
  readonly warnings: readonly string[];
  /** The pages of the working set: none where there is no working set. */
  readonly pages: WorkingSet;
  /** Lets the reading go on when the restore is done. */
  goOn(): ReadingAhead | undefined;
  /** Ends the reading, and waits for its end. */
  end(): Promise<void>;
}

/**
 * Begins to read the working set of a snapshot ahead, where the mode has a use for it.
 * @throws {MappedRamError} as `findWorkingSet` and `readWorkingSetAhead`
 */
export async function readAhead(
  snapshot: Snapshot,
  mode: Mode,
  { workingSet = 'auto', directIo, signal }: PrepareOptions & Pick<LoadOptions, 'directIo'>,
): Promise<Ahead> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const isOn = workingSet !== 'off' && mode.options.includes('workingSet');
  const path = typeof workingSet === 'object' ? workingSet.path : undefined;
  const { found, warnings } = isOn ? await findWorkingSet(snapshot, path) : { warnings: [] };
  // Pages that are read past the page cache do not get into it beforehand.
  const reads = found !== undefined && directIo !== 'on';
  const reading = reads ? await readWorkingSetAhead(found, either) : undefined;
  let goesOn = false;
  const end = async (): Promise<void> => {
    stop.abort();
    await reading?.whenAsked.catch(() => undefined);
  };
  return {
    warnings,
    pages: found?.pages ?? new Map(),
    goOn: () => {
      goesOn = true;
      return reading;
    },
    end,
    [Symbol.asyncDispose]: async () => (goesOn ? undefined : end()),
  };
}
