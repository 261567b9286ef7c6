/**
 * Tells a listener of progress, if there is one. Progress is for show: an error of the listener, or of making the news,
 * must not decide about the work.
 * @param news makes the news; called only when somebody listens
 */
export function tellListener<T>(listener: ((news: T) => void) | undefined, news: () => T): void {
  if (listener === undefined) return;
  try {
    listener(news());
  } catch {
    // Progress is for show.
  }
}
