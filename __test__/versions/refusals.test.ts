import { readdir } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { findQemu } from '../../ts/qemu/process/find-qemu.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { attach } from '../../ts/restore/attach.ts';
import { save } from '../../ts/save/save.ts';
import type { SaveOptions } from '../../ts/save/save-options.ts';
import { freePort } from '../support/free-port.ts';
import { startGuest, type TestGuest } from '../support/qemu.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { sharedGuest } from './guests.ts';
import { versionsTest, WITHOUT_MAPPED_RAM } from './qemus.ts';

for (const version of WITHOUT_MAPPED_RAM) {
  versionsTest(`QEMU ${version} is not promised a file that it cannot get`, async (t) => {
    await using dir = await temporaryDirectory();
    const port = await freePort();
    const extraArgs = ['-qmp', `tcp:127.0.0.1:${port},server=on,wait=off`];
    await using guest = await startGuest({ ...sharedGuest(version), extraArgs });
    for (const writer of ['engine', 'qemu'] as const) {
      await assertRefused(t, guest, dir, 'file-missing', { writer, fdset: 'off' });
    }
    const target = `file:${dir.file('snapshot')},offset=4096`;
    await assertRefused(t, guest, dir, 'file-from-beginning', { writer: 'qemu' }, target);
    await using qmp = await QmpClient.connect(`tcp:127.0.0.1:${port}`);
    await assertRefused(t, { qmp }, dir, 'file-missing', {});
    await guest.assertAlive();
  });

  versionsTest(
    `QEMU ${version} would leave out shared memory without a file, so that it writes itself`,
    async (t) => {
      await using dir = await temporaryDirectory();
      const small = ['-object', 'memory-backend-memfd,id=small,size=4M,share=on'];
      const extraArgs = [...small, '-device', 'pc-dimm,memdev=small'];
      const setup = { ...sharedGuest(version), machine: 'pc-q35-5.2,nvdimm=on', extraArgs };
      await using guest = await startGuest({ ...setup, memoryArgs: dimmMemory(dir), memoryBlocks: ['m0'] });
      await assertRefused(t, guest, dir, 'engine-memory-nameless', { writer: 'engine' });
      t.is((await save(guest.qmp, dir.file('snapshot'))).writer, 'qemu');
      await guest.assertAlive();
    },
  );

  versionsTest(`a command line that QEMU ${version} refuses in any mode keeps its own error`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(sharedGuest(version));
    await save(guest.qmp, dir.file('snapshot'), { writer: 'engine' });
    const setup = { ...sharedGuest(version), extraArgs: ['-device', 'no-such-device'] };
    const restored = restoreGuest(dir.file('snapshot'), setup, { mode: 'preload' });
    await t.throwsAsync(restored, { code: 'ERR_MAPPED_RAM_QEMU', message: /no-such-device/ });
  });

  versionsTest(`QEMU ${version} waits for a guest, and is given one`, async (t) => {
    await using dir = await temporaryDirectory();
    {
      await using guest = await startGuest(sharedGuest(version));
      await guest.waitForGenerations(1);
      await save(guest.qmp, dir.file('snapshot'), { writer: 'engine' });
    }
    await using guest = await startGuest({ ...sharedGuest(version), incoming: true });
    const refused = attach(guest.qmp, dir.file('snapshot'), { fdset: 'off' });
    const error = await t.throwsAsync(refused, { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
    t.like(error, { rule: { rule: 'file-missing' } });
    t.like(await attach(guest.qmp, dir.file('snapshot')), {
      mode: 'eager',
      form: 'stream',
      runState: 'running',
    });
    await guest.assertAlive();
    t.regex((await findQemu({ binary: sharedGuest(version).binary })).why ?? '', /mapped-ram came with 9\.0/);
  });
}

function dimmMemory(dir: TemporaryDirectory): readonly string[] {
  const object = `memory-backend-file,id=m0,size=64M,share=on,mem-path=${dir.file('m0')}`;
  return ['-m', '64M,slots=2,maxmem=1G', '-object', object, '-machine', 'memory-backend=m0'];
}

/** Asserts that a save is refused by a rule before anything changes. */
async function assertRefused(
  t: ExecutionContext,
  { qmp }: Pick<TestGuest, 'qmp'>,
  dir: TemporaryDirectory,
  rule: string,
  options: SaveOptions,
  target: string = dir.file('snapshot'),
): Promise<void> {
  const before = await readdir(dir.path);
  const error = await t.throwsAsync(save(qmp, target, options), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  t.like(error, { rule: { rule } });
  t.deepEqual(await readdir(dir.path), before);
  t.like(await qmp.execute('query-status'), { running: true });
}
