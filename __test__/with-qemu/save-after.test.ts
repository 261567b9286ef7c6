import { readdir } from 'node:fs/promises';

import { QmpClient, save } from '../../ts/index.ts';
import { RIG_KINDS, SaveRig } from '../save/save-rig.ts';
import { qemuTest } from '../support/qemu-required.ts';

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
