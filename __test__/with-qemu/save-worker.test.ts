import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { assertNoLeak } from '../support/leaks.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { SaveRig } from '../save/save-rig.ts';

const WORKER = new URL('../save/save-thread.mjs', import.meta.url);
const MODULE = new URL('../../ts/index.ts', import.meta.url).href;

/** States in the middle of a save. */
const STOPPED = new Set(['paused', 'finish-migrate', 'postmigrate']);

qemuTest('a worker that is terminated in the middle of a save leaves nothing behind', async (t) => {
  await using rig = await SaveRig.start('engine');
  const { server, target, options } = rig;
  const run = async (): Promise<void> => {
    const workerData = { module: MODULE, server, target, options };
    const worker = new Worker(WORKER, { workerData, execArgv: ['--import=@oxc-node/core/register'] });
    await once(worker, 'message');
    // The engine reads while QEMU still writes its devices.
    t.true(STOPPED.has(await rig.guest.runState()));
    await worker.terminate();
    t.false(await rig.assertNoneIncomplete(t, 'terminated'));
    await rig.assertAsBefore(t, 'terminated');
  };
  await assertNoLeak(t, run, run);
});
