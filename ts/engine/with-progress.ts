/** Work under way: its result, and its progress for one reader to iterate over. */
export interface WorkWithProgress<Progress, Result> extends AsyncIterable<Progress> {
  /** Settles as the work does. */
  readonly result: Promise<Result>;
}

/**
 * Starts work that takes `onProgress`, and lets its progress be iterated over instead:
 *
 * ```ts
 * const saving = withProgress((onProgress) => save(qmp, 'guest.mr', { onProgress }));
 * for await (const { bytesDone, bytesTotal } of saving) draw(bytesDone / bytesTotal);
 * const { pauseMs } = await saving.result;
 * ```
 *
 * The iteration ends when the work is done, and throws the error that the work rejects with. A reader that is slower
 * than the work misses some progress, never the latest. Leaving the loop does not end the work: an AbortSignal does.
 */
export function withProgress<Progress, Result>(
  start: (onProgress: (progress: Progress) => void) => Promise<Result>,
): WorkWithProgress<Progress, Result> {
  const state: State<Progress> = { latest: undefined, isOver: false, wake: undefined };
  const result = start((progress) => {
    state.latest = progress;
    state.wake?.();
  });
  const end = (): void => {
    state.isOver = true;
    state.wake?.();
  };
  result.then(end, end);
  return {
    result,
    async *[Symbol.asyncIterator]() {
      while (state.latest !== undefined || !state.isOver) {
        const progress = state.latest;
        state.latest = undefined;
        if (progress !== undefined) yield progress;
        else {
          await new Promise<void>((resolve) => {
            state.wake = resolve;
          });
        }
      }
      await result;
    },
  };
}

interface State<Progress> {
  latest: Progress | undefined;
  isOver: boolean;
  /** Lets a waiting iteration go on. */
  wake: (() => void) | undefined;
}
