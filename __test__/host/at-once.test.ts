import test from 'ava';

import { atOnce } from '../../ts/host/at-once.ts';
import { deferred } from '../../ts/host/deferred.ts';

/** Work that ends only by its signal, and says so a while later. */
function untilAborted(ended: string[]): (signal: AbortSignal) => Promise<never> {
  return async (signal) => {
    const { promise, reject } = deferred<never>();
    signal.addEventListener('abort', () => {
      setImmediate(() => {
        ended.push('other');
        reject(new Error('ended by the signal'));
      });
    });
    return promise;
  };
}

async function fail(): Promise<never> {
  throw new Error('no room');
}

test('two works run at once, and give both results', async (t) => {
  const [first, second] = [deferred<number>(), deferred<string>()];
  const results = atOnce(
    undefined,
    async () => {
      second.resolve('b');
      return first.promise;
    },
    async () => {
      const value = await second.promise;
      first.resolve(1);
      return value;
    },
  );
  t.deepEqual(await results, [1, 'b']);
});

test('the first failure is the one that counts, and both works have ended when it is thrown', async (t) => {
  for (const isFirst of [true, false]) {
    const ended: string[] = [];
    const other = untilAborted(ended);
    const works = isFirst ? atOnce(undefined, fail, other) : atOnce(undefined, other, fail);
    await t.throwsAsync(works, { message: 'no room' });
    t.deepEqual(ended, ['other']);
  }
});

test('a signal ends both works', async (t) => {
  const controller = new AbortController();
  const ended: string[] = [];
  const works = atOnce(controller.signal, untilAborted(ended), untilAborted(ended));
  controller.abort(new Error('enough'));
  await t.throwsAsync(works, { message: 'ended by the signal' });
  t.is(ended.length, 2);
  await t.throwsAsync(
    atOnce(controller.signal, async () => t.fail(), untilAborted([])),
    {
      message: 'enough',
    },
  );
});
