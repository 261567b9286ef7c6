import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import test from 'ava';

import { assertNoLeak } from '../support/leaks.ts';
import { PAGE, syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PAGES = 65536;
const execArgv = ['--import=@oxc-node/core/register'];
const MODULE = new URL('../../ts/index.ts', import.meta.url).href;

const WORKER = new URL('pack-worker.mjs', import.meta.url);

test.serial(
  'a worker that is terminated in the middle of a pack leaves no thread, descriptor or file',
  async (t) => {
    await using dir = await temporaryDirectory();
    await writeFile(dir.file('state'), syntheticState({ blocks: [{ id: 'm0', length: PAGES * PAGE }] }));
    await writeFile(dir.file('m0'), Buffer.alloc(PAGES * PAGE, 'data'));
    const before = await readdir(dir.path);
    const workerData = {
      module: MODULE,
      target: dir.file('snapshot'),
      options: { state: dir.file('state'), ram: { m0: dir.file('m0') } },
    };
    const run = async (): Promise<void> => {
      const worker = new Worker(WORKER, { workerData, execArgv });
      const [message] = await once(worker, 'message');
      t.true(message.bytesDone < message.bytesTotal, 'the pack was over too soon');
      await worker.terminate();
    };
    await assertNoLeak(t, run, async () => {
      await run();
      await run();
      await delay(50);
      t.deepEqual(await readdir(dir.path), before);
    });
  },
);

test.serial('a worker can pack, and ends by itself', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('state'), syntheticState({ blocks: [{ id: 'm0', length: 64 * PAGE }] }));
  await writeFile(dir.file('m0'), Buffer.alloc(64 * PAGE, 'data'));
  const workerData = {
    module: MODULE,
    target: dir.file('snapshot'),
    options: { state: dir.file('state'), ram: { m0: dir.file('m0') } },
  };
  const worker = new Worker(WORKER, { workerData, execArgv });
  const messages: unknown[] = [];
  worker.on('message', (message) => messages.push(message));
  const [code] = await once(worker, 'exit');
  t.is(code, 0);
  t.is(messages.at(-1), 'done');
});
