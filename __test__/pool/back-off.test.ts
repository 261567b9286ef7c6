import test from 'ava';

import { BackOff } from '../../ts/pool/back-off.ts';

/** A back-off with a clock of its own. */
function backOff(): { readonly off: BackOff; readonly pass: (ms: number) => void } {
  let now = 5000;
  return { off: new BackOff(() => now), pass: (ms) => void (now += ms) };
}

test('each failure in a row doubles the pause, up to a limit', (t) => {
  const { off, pass } = backOff();
  t.is(off.pauseMs, 0);
  const pauses = Array.from({ length: 10 }, () => {
    off.failed(new Error('no'));
    return off.pauseMs;
  });
  t.deepEqual(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
  pass(9999);
  t.is(off.pauseMs, 1);
  pass(5);
  t.is(off.pauseMs, 0);
});

test('the third failure in a row leaves no hope, until a guest is taken', (t) => {
  const { off } = backOff();
  const last = new Error('third');
  for (const error of [new Error('first'), new Error('second')]) off.failed(error);
  t.false(off.isHopeless);
  off.failed(last);
  t.true(off.isHopeless);
  t.is(off.lastError, last);
  off.works();
  t.deepEqual([off.isHopeless, off.inARow, off.pauseMs, off.lastError], [false, 0, 0, undefined]);
});

test('a QEMU that dies soon goes on with the row, and one that has waited for a while begins one', (t) => {
  const { off } = backOff();
  for (const waited of [0, 5, 999]) off.failed(new Error('died'), waited);
  t.is(off.inARow, 3);
  off.failed(new Error('died'), 1000);
  t.is(off.inARow, 1);
});

test('a QEMU that was there before a failure does not end the row, a later one does in time', (t) => {
  const { off, pass } = backOff();
  pass(5000);
  off.failed(new Error('no'));
  pass(1500);
  off.works(3000);
  t.is(off.inARow, 1, 'it is older than the failure');
  off.works(900);
  t.is(off.inARow, 1, 'it may still die');
  off.works(1200);
  t.is(off.inARow, 0);
});
