import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { MappedRamError } from '../../ts/errors.ts';
import { forAllClones } from '../../ts/fork/all-clones.ts';

const items = (count: number): readonly { readonly index: number }[] =>
  Array.from({ length: count }, (_, index) => ({ index }));

test('every clone gets its turn, at most so many at once, and results keep their order', async (t) => {
  let [running, most] = [0, 0];
  const work = async ({ index }: { readonly index: number }): Promise<number> => {
    running += 1;
    most = Math.max(most, running);
    await delay(5 - index);
    running -= 1;
    return index * 2;
  };
  t.deepEqual(await forAllClones(items(5), work, { signal: undefined, most: 2 }), [0, 2, 4, 6, 8]);
  t.is(most, 2);
  t.deepEqual(await forAllClones([], work, { signal: undefined }), []);
});

test('the first failure ends the others, names its clone, and undoes what went well', async (t) => {
  const undone: number[] = [];
  const cause = new MappedRamError('ERR_MAPPED_RAM_QEMU', 'it did not start', { path: '/p' });
  const work = async ({ index }: { readonly index: number }, signal: AbortSignal): Promise<number> => {
    if (index === 1) throw cause;
    if (index === 0) return 0;
    await delay(60_000, undefined, { signal });
    return index;
  };
  const undo = async (index: number): Promise<void> => void undone.push(index);
  const error = await t.throwsAsync(forAllClones(items(3), work, { signal: undefined, undo }), {
    code: 'ERR_MAPPED_RAM_QEMU',
    message: 'clone 1: /p: it did not start',
  });
  t.is(error?.cause, cause);
  t.deepEqual(undone, [0]);
});

test('an abort gives its own reason, whatever the works say, and undoes what went well', async (t) => {
  const undone: number[] = [];
  const controller = new AbortController();
  const reason = new Error('enough');
  const work = async ({ index }: { readonly index: number }): Promise<number> => {
    if (index === 0) return 0;
    controller.abort(reason);
    throw new Error('something else');
  };
  const undo = async (index: number): Promise<void> => void undone.push(index);
  await t.throwsAsync(forAllClones(items(2), work, { signal: controller.signal, most: 1, undo }), {
    is: reason,
  });
  t.deepEqual(undone, [0]);
  await t.throwsAsync(forAllClones(items(1), work, { signal: controller.signal }), { is: reason });
});

test('a work that was done when the abort came is undone, too', async (t) => {
  const undone: number[] = [];
  const controller = new AbortController();
  const work = async ({ index }: { readonly index: number }): Promise<number> => {
    controller.abort(new Error('late'));
    return index;
  };
  const undo = async (index: number): Promise<void> => void undone.push(index);
  await t.throwsAsync(forAllClones(items(1), work, { signal: controller.signal, undo }), { message: 'late' });
  t.deepEqual(undone, [0]);
});
