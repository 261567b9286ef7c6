import { getEventListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';

import test from 'ava';

import { deferred } from '../../ts/host/deferred.ts';
import { waitWithin } from '../../ts/host/wait-within.ts';

const late = (): Error => new Error('late');

test.serial('any number of waits share a signal without a warning, and leave no listener', async (t) => {
  const warnings: Error[] = [];
  const listen = (warning: Error): number => warnings.push(warning);
  process.on('warning', listen);
  const { signal } = new AbortController();
  const done = deferred<number>();
  const waits = Array.from({ length: 50 }, () => waitWithin(done.promise, { signal }, late));
  t.is(getEventListeners(signal, 'abort').length, 50);
  done.resolve(7);
  t.deepEqual(new Set(await Promise.all(waits)), new Set([7]));
  t.is(getEventListeners(signal, 'abort').length, 0);
  await setImmediate();
  process.off('warning', listen);
  t.deepEqual(warnings, []);
});

test('an abort or the end of the time gives up the waiting, with its own reason', async (t) => {
  const never = deferred<void>();
  const controller = new AbortController();
  const reason = new Error('enough');
  const aborted = waitWithin(never.promise, { signal: controller.signal, timeoutMs: 60_000 }, late);
  controller.abort(reason);
  t.is(await t.throwsAsync(aborted), reason);
  await t.throwsAsync(waitWithin(never.promise, { timeoutMs: 1 }, late), { message: 'late' });
  await t.throwsAsync(waitWithin(never.promise, { signal: controller.signal }, late), { is: reason });
});
