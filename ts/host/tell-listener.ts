/**
 * Tells a listener of progress, if there is one. Progress is for show: what its listener throws, or making the news does,
 * must not decide about the work.
 * @param news made only when somebody listens
 */
export function tellListener<T>(listener: ((news: T) => void) | undefined, news: () => T): void {
  if (listener === undefined) return;
  try {
    listener(news());
  } catch {
    // See above.
  }
}
