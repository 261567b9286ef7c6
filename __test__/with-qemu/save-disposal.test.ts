import { readdirSync, readlinkSync } from 'node:fs';

import { MappedRamError, QmpClient, save } from '../../ts/index.ts';
import { DeviceState } from '../../ts/qemu/state/device-state.ts';
import { SaveRig } from '../save/save-rig.ts';
import { qemuTest } from '../support/qemu-required.ts';

/** Notes the commands that a client sends from now on. */
function commandsOf(qmp: QmpClient): string[] {
  const commands: string[] = [];
  const execute = qmp.execute.bind(qmp);
  Object.assign(qmp, {
    execute: (command: string, ...rest: unknown[]) => {
      commands.push(command);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- whatever the caller passes goes on
      return execute(command, ...(rest as []));
    },
  });
  return commands;
}

qemuTest('a guest whose save has failed goes on before anything is let go', async (t) => {
  await using rig = await SaveRig.start('pause');
  await using qmp = await QmpClient.connect(rig.server);
  const commands = commandsOf(qmp);
  const ending = new AbortController();
  const onProgress = ({ step }: { step: string }): void => {
    if (step !== 'memory' || ending.signal.aborted) return;
    commands.length = 0;
    ending.abort(new Error('enough'));
  };
  const failing = save(qmp, rig.target, { ...rig.options, signal: ending.signal, onProgress });
  await t.throwsAsync(failing, { message: /enough/ });
  const [goesOn, letsGo] = [commands.indexOf('cont'), commands.indexOf('query-fdsets')];
  t.true(goesOn !== -1 && goesOn < letsGo, commands.join());
  await rig.assertAsBefore(t, 'aborted');
});

/** The number of files of snapshots, and of memory, that this process has open. */
function openHere(): number {
  const files = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The descriptor of the listing itself.
      return [];
    }
  });
  return files.filter((path) => /\.mr|memfd|mapped-ram/.test(path)).length;
}

qemuTest('what cannot be let go keeps nothing else, and takes no snapshot away', async (t) => {
  await using rig = await SaveRig.start('delta');
  const { qmp } = rig.guest;
  const dispose = DeviceState.prototype[Symbol.asyncDispose];
  const failing = async function fail(this: DeviceState): Promise<void> {
    await dispose.call(this);
    throw new Error('the medium of the state is broken');
  };
  const before = openHere();
  Object.assign(DeviceState.prototype, { [Symbol.asyncDispose]: failing });
  try {
    // The disposal of another question, whether the guest sleeps, must not fail: the guest runs.
    const saved = await save(qmp, rig.target, rig.quickly);
    t.is(saved.runState, 'running');
    t.regex(saved.warnings.join(), /the snapshot is complete, but .*the medium of the state is broken/);
    t.true(await rig.assertNoneIncomplete(t, 'disposal failed'));
    t.is(openHere(), before);
    const ending = new AbortController();
    const onProgress = (): void => ending.abort(new MappedRamError('ERR_MAPPED_RAM_IO', 'enough'));
    const failed = save(qmp, `${rig.target}2`, { ...rig.options, signal: ending.signal, onProgress });
    await t.throwsAsync(failed, { code: 'ERR_MAPPED_RAM_IO', message: /enough/ });
    t.is(openHere(), before);
  } finally {
    Object.assign(DeviceState.prototype, { [Symbol.asyncDispose]: dispose });
  }
  await rig.assertAsBefore(t, 'disposal failed');
});
