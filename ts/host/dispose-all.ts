/**
 * Lets go of several things, the last one first, as `await using` does. Each has its turn whatever becomes of the others.
 * A failure alone is thrown as it is, so that its code is not lost.
 * @throws the first failure, when all had their turn
 */
export async function disposeAll(things: readonly (AsyncDisposable | undefined)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const thing of things.toReversed()) {
    try {
      await thing?.[Symbol.asyncDispose]();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/**
 * Lets go of several things after a failure, which counts more than one of theirs.
 * @returns the failure, for `throw`
 */
export async function disposeAfter(
  failure: unknown,
  things: readonly (AsyncDisposable | undefined)[],
): Promise<unknown> {
  await disposeAll(things).catch(() => undefined);
  return failure;
}
