import { MappedRamError } from '../errors.ts';

/**
 * Does a work for every clone, at most so many at once. When one fails, the others end, and all have ended when this
 * rejects.
 *
 * @param undo ends what a work has brought that went well
 * @throws the signal's reason; the error of the clone that failed first, with its number
 */
export async function forAllClones<Item extends { readonly index: number }, Result>(
  items: readonly Item[],
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
  {
    signal,
    most = items.length,
    undo,
  }: {
    readonly signal: AbortSignal | undefined;
    readonly most?: number;
    readonly undo?: (result: Result) => Promise<void>;
  },
): Promise<readonly Result[]> {
  signal?.throwIfAborted();
  const failing = new AbortController();
  const either = signal === undefined ? failing.signal : AbortSignal.any([signal, failing.signal]);
  const results: Result[] = [];
  const waiting = items.entries();
  let failure: { readonly error: unknown } | undefined;
  const workers = Array.from({ length: Math.min(most, items.length) }, async () => {
    for (const [place, item] of waiting) {
      if (either.aborted) return;
      try {
        results[place] = await work(item, either);
      } catch (error) {
        failure ??= { error: signal?.aborted === true ? error : ofClone(item.index, error) };
        failing.abort(error);
      }
    }
  });
  await Promise.all(workers);
  if (failure === undefined && signal?.aborted !== true) return results;
  // The holes of a list that was not finished are passed over.
  if (undo !== undefined) await Promise.all(Object.values(results).map((result) => undo(result)));
  signal?.throwIfAborted();
  throw failure?.error;
}

/** The error of one clone, which says which one it is. */
export function ofClone(index: number, error: unknown): unknown {
  if (!(error instanceof MappedRamError)) return error;
  const { code, qmp, rule, migration } = error;
  return new MappedRamError(code, `clone ${index}`, { qmp, rule, migration, cause: error });
}
