import { setImmediate as turn } from 'node:timers/promises';

import test from 'ava';

import { Numbers } from '../../ts/pool/numbers.ts';
import { Operations } from '../../ts/pool/operations.ts';
import { Takers } from '../../ts/pool/takers.ts';

const never = new AbortController().signal;

/** Work that ends with its signal only. */
function forever(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

test('who comes first is served first, but for one who was served badly', async (t) => {
  const takers = new Takers<string>();
  t.false(takers.serve('for nobody'));
  const [first, second, again] = [takers.wait(never), takers.wait(never), takers.wait(never, true)];
  t.is(takers.length, 3);
  for (const thing of ['a', 'b', 'c']) t.true(takers.serve(thing));
  t.deepEqual(await Promise.all([first, second, again]), ['b', 'c', 'a']);
  t.false(takers.serve('d'));
});

test('one who gives up leaves the queue, and gets nothing any more', async (t) => {
  const takers = new Takers<string>();
  const giving = new AbortController();
  const first = takers.wait(giving.signal);
  const second = takers.wait(never);
  giving.abort(new Error('enough'));
  await t.throwsAsync(first, { message: 'enough' });
  t.true(takers.serve('a'));
  t.is(await second, 'a');
  await t.throwsAsync(takers.wait(giving.signal), { message: 'enough' });
});

test('what was served is not lost to an abort that comes with it', async (t) => {
  const takers = new Takers<string>();
  const giving = new AbortController();
  const taker = takers.wait(giving.signal);
  takers.serve('a');
  giving.abort(new Error('enough'));
  t.is(await taker, 'a');
});

test('all are sent away, each with an error of its own', async (t) => {
  const takers = new Takers<string>();
  const waiting = [takers.wait(never), takers.wait(never)];
  takers.rejectAll(() => new Error('no hope'));
  const errors = await Promise.all(waiting.map((taker) => t.throwsAsync(taker, { message: 'no hope' })));
  t.not(errors[0], errors[1]);
  t.is(takers.length, 0);
});

test('an operation ends with its signal, its time or its owner, each with its own reason', async (t) => {
  const operations = new Operations();
  const caller = new AbortController();
  const [aborted, late, closed] = [
    operations.run(forever, { signal: caller.signal }),
    operations.run(forever, { timeoutMs: 1, onTimeout: () => new Error('late') }),
    operations.run(forever),
  ];
  caller.abort(new Error('enough'));
  await t.throwsAsync(aborted, { message: 'enough' });
  await t.throwsAsync(late, { message: 'late' });
  await Promise.all([t.throwsAsync(closed, { message: 'closed' }), operations.close(new Error('closed'))]);
  await t.throwsAsync(operations.run(forever), { message: 'closed' });
});

test('closing waits for work that goes on after its signal, and work that succeeds succeeds', async (t) => {
  const operations = new Operations();
  let isDone = false;
  const stubborn = operations.run(async () => {
    for (let turns = 0; turns < 5; turns += 1) await turn();
    isDone = true;
    return 7;
  });
  await operations.close(new Error('closed'));
  t.true(isDone);
  t.is(await stubborn, 7);
});

test('a number is the lowest that is free', (t) => {
  const numbers = new Numbers();
  t.deepEqual(
    [0, 1, 2].map(() => numbers.take()),
    [0, 1, 2],
  );
  numbers.free(1);
  t.deepEqual([numbers.take(), numbers.take()], [1, 3]);
});
