import { readdir, writeFile } from 'node:fs/promises';

import { QmpClient, restore, save } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { letRunNow } from '../../ts/save/recovery.ts';
import { RIG_KINDS, SaveRig } from '../save/save-rig.ts';
import { fatedGuestArgs, startFatedGuest } from '../support/fated-guest.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Stops a guest for its owner as soon as it goes on: before any command that the save sends from then on. */
function stopWhenResumed(qmp: QmpClient): AsyncDisposable {
  let isDone = false;
  const events = qmp.events(({ event }) => {
    if (event === 'RESUME' && !isDone) {
      isDone = true;
      void qmp.execute('stop');
    }
    return false;
  });
  return { [Symbol.asyncDispose]: async () => void (await events.return()) };
}

for (const kind of RIG_KINDS.filter((one) => one !== 'reflink')) {
  qemuTest(`whoever stops the guest when it goes on finds it stopped after the save: ${kind}`, async (t) => {
    await using rig = await SaveRig.start(kind);
    // Without this the engine would take shared memory, too, out of QEMU's process.
    const options = kind === 'engine' ? ({ ...rig.quickly, xIgnoreShared: 'on' } as const) : rig.quickly;
    await using qmp = await QmpClient.connect(rig.server);
    {
      await using _ = stopWhenResumed(qmp);
      const resumes = qmp.events('RESUME');
      const saved = await save(qmp, rig.target, options);
      t.is(saved.runState, 'paused');
      t.true(saved.verified);
      await resumes.next();
      await resumes.return();
      t.deepEqual(await resumes.next(), { done: true, value: undefined }, 'the guest was let run once more');
    }
    await rig.prepare(true);
    // A save that fails behind that leaves the guest alone, too.
    await using _ = stopWhenResumed(qmp);
    const ending = new AbortController();
    const onProgress = ({ step }: { step: string }): void => {
      if (step === 'publish') ending.abort(new Error('enough'));
    };
    const failing = save(qmp, `${rig.target}2`, { ...options, signal: ending.signal, onProgress });
    await t.throwsAsync(failing, { message: /enough/ });
    t.is(await rig.guest.runState(), 'paused');
    t.deepEqual(await readdir(rig.directory), ['snapshot']);
    await rig.prepare(true);
    await rig.assertAsBefore(t, kind);
  });
}

for (const way of ['qemu', 'engine'] as const) {
  for (const state of ['prelaunch', 'guest-panicked', 'watchdog', 'io-error'] as const) {
    qemuTest(
      `a guest that was ${state} runs after its save when that is asked for: writer ${way}`,
      async (t) => {
        await using dir = await temporaryDirectory();
        const args =
          state === 'prelaunch'
            ? '-accel tcg -machine q35 -m 64M -display none -net none -S'.split(' ')
            : await fatedGuestArgs(dir.file('disk'), state);
        await using qemu = await startFatedGuest(args, state);
        const path = dir.file('guest.mr');
        // Nobody asked: the guest stays what it was, as far as QEMU remembers that.
        const still = await save(qemu.qmp, dir.file('still.mr'), { writer: 'engine' });
        t.is(still.runState, state);
        const events = qemu.qmp.events('RESUME');
        const saved = await save(qemu.qmp, path, { writer: way, after: 'cont' });
        t.is(saved.runState, 'running');
        t.deepEqual(saved.warnings, []);
        await events.next();
        await events.return();
      },
    );
  }
}

qemuTest('a guest that only a reset lets run is not said to run', async (t) => {
  await using dir = await temporaryDirectory();
  await using qemu = await startFatedGuest(await fatedGuestArgs(dir.file('disk'), 'shutdown'), 'shutdown');
  const goal = { runs: true, asked: true, sleeps: false };
  await t.throwsAsync(letRunNow(qemu.qmp, goal), { code: 'ERR_MAPPED_RAM_QEMU', message: /[Rr]eset/ });
});

qemuTest('a guest that is to stay stopped gives its disks up, for another QEMU to have', async (t) => {
  await using dir = await temporaryDirectory();
  const disk = dir.file('disk');
  await writeFile(disk, new Uint8Array(2 ** 20));
  const args = '-accel tcg -machine q35 -m 64M -display none -net none -drive'
    .split(' ')
    .concat(`file=${disk},format=raw,if=virtio`);
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
  const { qmp } = qemu;
  const keeps = { writer: 'engine', plan: { stateOnly: { value: true } }, runState: 'paused' } as const;
  // The caller chose the writer, and knows; or asked for nothing.
  t.like(await save(qmp, dir.file('chosen.mr'), { after: 'stop', writer: 'engine' }), keeps);
  t.like(await save(qmp, dir.file('as-before.mr')), keeps);
  await t.throwsAsync(restore(dir.file('chosen.mr'), { binary: QEMU_BINARY, args }), {
    code: 'ERR_MAPPED_RAM_QEMU',
    message: new RegExp(disk),
  });
  const path = dir.file('guest.mr');
  const saved = await save(qmp, path, { after: 'stop' });
  t.like(saved, {
    runState: 'postmigrate',
    plan: { stateOnly: { value: false } },
  });
  t.regex(saved.plan.stateOnly.why, new RegExp(disk));
  await using clone = await restore(path, { binary: QEMU_BINARY, args });
  t.is(clone.runState, 'running');
  t.deepEqual(clone.warnings, []);
});

qemuTest('a guest without a disk to give up is taken out of its QEMU, whatever it is to do', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('disk'), new Uint8Array(2 ** 20));
  const args = '-accel tcg -machine q35 -m 64M -display none -net none -cdrom'.split(' ');
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: [...args, dir.file('disk')] });
  const saved = await save(qemu.qmp, dir.file('guest.mr'), { after: 'stop' });
  t.like(saved, { writer: 'engine', runState: 'paused', plan: { stateOnly: { value: true } } });
});
