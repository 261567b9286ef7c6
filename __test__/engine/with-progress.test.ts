import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { pack, withProgress } from '../../ts/index.ts';
import { PAGE, syntheticState, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { writeFile } from 'node:fs/promises';

async function collect<T>(source: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const item of source) all.push(item);
  return all;
}

test('every progress reaches a reader that keeps up, and the iteration ends with the work', async (t) => {
  const work = withProgress(async (onProgress: (step: number) => void) => {
    for (const step of [1, 2, 3]) {
      await delay(10);
      onProgress(step);
    }
    return 'done';
  });
  t.deepEqual(await collect(work), [1, 2, 3]);
  t.is(await work.result, 'done');
});

test('a slow reader gets the latest, and so does one that comes when all is over', async (t) => {
  const work = withProgress(async (onProgress: (step: number) => void) => {
    for (const step of [1, 2, 3]) onProgress(step);
  });
  await work.result;
  t.deepEqual(await collect(work), [3]);
  const silent = withProgress(async () => 7);
  t.deepEqual(await collect(silent), []);
});

test('the iteration throws what the work rejects with, after its last progress', async (t) => {
  const failed = withProgress(async (onProgress: (step: number) => void) => {
    onProgress(1);
    await delay(1);
    throw new RangeError('too far');
  });
  const seen: number[] = [];
  await t.throwsAsync(
    async () => {
      for await (const step of failed) seen.push(step);
    },
    { instanceOf: RangeError },
  );
  t.deepEqual(seen, [1]);
  await t.throwsAsync(failed.result, { message: 'too far' });
});

test('the progress of a pack ends at all of it', async (t) => {
  await using dir = await temporaryDirectory();
  await writeRam(dir.file('ram'), 64, () => true);
  await writeFile(dir.file('state'), syntheticState({ blocks: [{ id: 'pc.ram', length: 64 * PAGE }] }));
  const work = withProgress((onProgress) =>
    pack(dir.file('out'), { state: dir.file('state'), ram: { 'pc.ram': dir.file('ram') }, onProgress }),
  );
  const last = (await collect(work)).at(-1);
  t.like(last, { bytesTotal: 64 * PAGE, bytesDone: 64 * PAGE });
  t.is((await work.result).blocks.length, 1);
});
