/**
 * Runs two works at once. When one fails, its signal ends the other; both have ended when this rejects.
 * @param signal ends both
 * @throws the signal's reason; the error of the work that failed first
 */
export async function atOnce<First, Second>(
  signal: AbortSignal | undefined,
  first: (signal: AbortSignal) => Promise<First>,
  second: (signal: AbortSignal) => Promise<Second>,
): Promise<readonly [First, Second]> {
  signal?.throwIfAborted();
  const failing = new AbortController();
  const either = signal === undefined ? failing.signal : AbortSignal.any([signal, failing.signal]);
  const errors: unknown[] = [];
  const run = async <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await work(either);
    } catch (error) {
      errors.push(error);
      failing.abort(error);
      throw error;
    }
  };
  const [one, other] = await Promise.allSettled([run(first), run(second)]);
  if (one.status === 'fulfilled' && other.status === 'fulfilled') return [one.value, other.value];
  throw errors[0];
}
