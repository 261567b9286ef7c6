import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError, QmpClient, save, type SaveOptions } from '../../ts/index.ts';
import type { TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { runningGuards, unreapedChildren } from '../save/running-guards.ts';
import { SaveRig } from '../save/save-rig.ts';

/** A listener that calls `action` once, when a save comes to a step. */
function at(step: string, action: () => void): SaveOptions['onProgress'] {
  let isDone = false;
  return (progress) => {
    if (isDone || progress.step !== step) return;
    isDone = true;
    action();
  };
}

/** Lets a guest run as soon as QEMU has written its device state: until then it refuses. */
async function letRun(guest: TestGuest, briefly: boolean): Promise<void> {
  for (;;) {
    const refused = await guest.cont().then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (refused === undefined) break;
    if (!refused.includes('not finalized')) throw new Error(refused);
  }
  if (briefly) await guest.stop();
}

qemuTest('a guest that somebody else lets run while the engine reads it is not saved', async (t) => {
  await using rig = await SaveRig.start('engine');
  await using qmp = await QmpClient.connect(rig.server);
  for (const briefly of [false, true]) {
    let others: Promise<void> | undefined;
    const onProgress = at('memory', () => {
      others = letRun(rig.guest, briefly);
    });
    await t.throwsAsync(save(qmp, rig.target, { ...rig.options, onProgress }), {
      code: 'ERR_MAPPED_RAM_QEMU',
      message: /somebody else has let the guest run/,
    });
    await others;
    t.deepEqual(await readdir(rig.directory), []);
    await rig.assertAsBefore(t, briefly ? 'let run and stopped' : 'let run');
  }
});

for (const writer of ['engine', 'qemu'] as const) {
  qemuTest(
    `of two saves at once one is refused and harms the other in nothing, writer ${writer}`,
    async (t) => {
      await using rig = await SaveRig.start(writer);
      await using qmp = await QmpClient.connect(rig.server);
      const first = save(qmp, rig.target, rig.options);
      await t.throwsAsync(save(qmp, `${rig.target}2`), {
        code: 'ERR_MAPPED_RAM_BUSY',
        message: /under way already on this connection/,
      });
      await first;
      t.true(await rig.assertNoneIncomplete(t, 'one connection'));
      await rig.assertAsBefore(t, 'one connection');
      // The second save comes at once, or in the middle of the first.
      for (const step of ['begin', 'state', 'memory', 'publish'] as const) {
        let second: Promise<unknown> | undefined;
        const begin = (): void => {
          second = save(rig.guest.qmp, `${rig.target}2`, { ...rig.options, guard: 'off' }).catch(
            (error: unknown) => error,
          );
        };
        if (step === 'begin') begin();
        const saving = save(qmp, rig.target, { ...rig.options, guard: 'off', onProgress: at(step, begin) });
        const results = [await saving.catch((error: unknown) => error), await second];
        const errors = results.filter((result) => result instanceof MappedRamError);
        t.log(step, ...errors.map(({ message }) => message));
        t.true(errors.length <= 1, `${step}: neither worked`);
        for (const { code, message } of errors) {
          t.regex(message, /under way already/, step);
          t.is(code, 'ERR_MAPPED_RAM_BUSY', step);
        }
        t.true(
          (await rig.assertNoneIncomplete(t, step)) || (await rig.assertNoneIncomplete(t, step, 'snapshot2')),
        );
        await rm(`${rig.target}2`, { force: true });
        if (writer === 'qemu' && step === 'memory') t.is(errors.length, 1, step);
        await rig.assertAsBefore(t, step);
      }
    },
  );
}

qemuTest('a guest that was claimed by a process that is gone can be saved', async (t) => {
  await using rig = await SaveRig.start('engine');
  const { qmp } = rig.guest;
  const claim = async (data: string): Promise<void> => {
    await qmp.execute('object-add', { 'qom-type': 'secret', id: 'mapped-ram-save', data });
  };
  let seen = '';
  const look = async (): Promise<void> => {
    const data = await qmp.execute('qom-get', { path: '/objects/mapped-ram-save', property: 'data' });
    if (typeof data === 'string') seen = data;
  };
  await save(qmp, rig.target, { onProgress: at('memory', () => void look()) });
  t.regex(seen, new RegExp(` ${process.pid} `));
  await rig.assertAsBefore(t, 'claimed');
  // The claim names a process that is gone: no process has so high a number.
  await claim(seen.replace(` ${process.pid} `, ` ${2 ** 22 + 1} `));
  await save(qmp, rig.target);
  await rig.assertAsBefore(t, 'taken over');
  for (const data of [seen, seen.replace(` ${process.pid} `, ` ${2 ** 22 + 1} elsewhere`), 'x']) {
    await claim(data);
    await t.throwsAsync(save(qmp, rig.target), {
      code: 'ERR_MAPPED_RAM_BUSY',
      message:
        /under way already, by process .*: \{"execute":"object-del","arguments":\{"id":"mapped-ram-save"\}\}/,
    });
    await qmp.execute('object-del', { id: 'mapped-ram-save' });
  }
  await rig.assertAsBefore(t, 'refused');
});

qemuTest('a guard that is killed is missed in words only', async (t) => {
  await using rig = await SaveRig.start('qemu');
  const onProgress = at('memory', () => {
    for (const pid of runningGuards()) process.kill(pid, 'SIGKILL');
  });
  await using qmp = await QmpClient.connect(rig.server);
  const { warnings } = await save(qmp, rig.target, { ...rig.options, onProgress });
  t.regex(warnings.join(), /no guard \(it was killed\)/);
  t.true(await rig.assertNoneIncomplete(t, 'guard killed'));
  await rig.assertAsBefore(t, 'guard killed');
  t.deepEqual(unreapedChildren(), []);
});

qemuTest('a QEMU that does not answer is brought back when it does', async (t) => {
  await using rig = await SaveRig.start('qemu');
  const { qemu } = rig.guest;
  await using qmp = await QmpClient.connect(rig.server);
  const onProgress = at('memory', () => process.kill(qemu.pid, 'SIGSTOP'));
  // The limit counts from the call, and a busy machine takes its time to come to the memory.
  const saving = save(qmp, rig.target, { ...rig.options, timeoutMs: 15_000, onProgress });
  await t.throwsAsync(saving, {
    code: 'ERR_MAPPED_RAM_TIMEOUT',
    message: /not done in .*; and QEMU could not be brought back.*as soon as it does/,
  });
  await t.throwsAsync(save(qmp, rig.target), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /has not answered since/,
  });
  t.deepEqual(await readdir(rig.directory), []);
  process.kill(qemu.pid, 'SIGCONT');
  await rig.assertAsBefore(t, 'answers again');
  await save(qmp, rig.target);
  await rig.assertAsBefore(t, 'saved');
});

qemuTest('who takes a connection over is understood after half a command', async (t) => {
  await using rig = await SaveRig.start('qemu');
  for (const half of ['{"execute":"migrate_ca', '{"execute":', '{"execute":"stop"', '']) {
    const socket = connect(rig.server);
    await once(socket, 'data');
    socket.write('{"execute":"qmp_capabilities"}\n');
    await once(socket, 'data');
    socket.write(half);
    await delay(20);
    await using qmp = QmpClient.succeed(socket);
    t.like(await qmp.execute('query-status'), { status: 'running' }, half);
    t.true(qmp.isOpen);
  }
});
