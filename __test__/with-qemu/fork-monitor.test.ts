import test from 'ava';

import { prepareFork } from '../../ts/fork/prepare-fork.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { ForkRig } from '../support/fork-rig.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

let dir: TemporaryDirectory;
test.before(async () => {
  dir = await temporaryDirectory();
});
test.after.always(() => dir[Symbol.asyncDispose]());

qemuTest('QEMUs that wait for a fork leave the monitor to others when its client is closed', async (t) => {
  const path = dir.file('second.qmp');
  await using rig = await ForkRig.start('fresh', dir, {
    extraArgs: ['-qmp', `unix:${path},server=on,wait=off`],
  });
  const qmp = await QmpClient.connect(path);
  // Each clone has a second monitor of its own.
  const args = async (index: number): Promise<readonly string[]> =>
    (await rig.guests.args(index)).map((word) =>
      word.includes(path) ? `unix:${path}.${index},server=on,wait=off` : word,
    );
  await using slots = await prepareFork(qmp, 1, rig.options({ args }));
  await qmp.close();
  await using another = await QmpClient.connect(path, { timeoutMs: 30_000 });
  t.is((await another.execute('query-status')).status, 'running');
  await t.throwsAsync(slots.fork(), { code: 'ERR_MAPPED_RAM_CLOSED' });
  await rig.assertAsBefore(t, 'closed');
});
