import test from 'ava';

import { disposeAfter, disposeAll } from '../../ts/host/dispose-all.ts';

/** Things that note their end, some of which fail at it. */
function things(failing: readonly string[]): {
  readonly ended: string[];
  readonly list: readonly (AsyncDisposable | undefined)[];
} {
  const ended: string[] = [];
  const thing = (name: string): AsyncDisposable => ({
    [Symbol.asyncDispose]: async () => {
      ended.push(name);
      if (failing.includes(name)) throw new Error(name);
    },
  });
  return { ended, list: [thing('a'), undefined, thing('b'), thing('c')] };
}

test('each has its turn, the last one first, and the first failure is thrown as it is', async (t) => {
  for (const failing of [[], ['c'], ['a', 'c'], ['b']]) {
    const { ended, list } = things(failing);
    const error = await disposeAll(list).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    t.deepEqual(ended, ['c', 'b', 'a']);
    t.is(error instanceof Error ? error.message : undefined, failing.at(-1));
  }
});

test('what failed before counts more', async (t) => {
  const { ended, list } = things(['b']);
  const failure = new Error('before');
  t.is(await disposeAfter(failure, list), failure);
  t.deepEqual(ended, ['c', 'b', 'a']);
});
