import { readdir } from 'node:fs/promises';

import { save, type SaveOptions } from '../../ts/index.ts';
import { qemuTest } from '../support/qemu-required.ts';
import {
  areAtWork,
  describePoint,
  killCount,
  killPoints,
  randomNumbers,
  StepsSeen,
} from '../save/kill-points.ts';
import { runningGuards, untilNoGuard } from '../save/running-guards.ts';
import { RIG_KINDS, SaveRig } from '../save/save-rig.ts';

const SEED = 7;
const POINTS = killCount(5);

for (const writer of RIG_KINDS) {
  qemuTest(`a QEMU that is killed at any moment leaves no half file, writer ${writer}`, async (t) => {
    await using measured = await SaveRig.start(writer);
    const whole = new StepsSeen();
    whole.follow(measured.guest.qmp);
    const onProgress: SaveOptions['onProgress'] = ({ step }) => whole.add(step);
    await save(measured.guest.qmp, measured.target, { ...measured.options, onProgress });
    const phases = whole.stop();
    t.log(`seed ${SEED}`, ...phases.map(({ step, durationMs }) => `${step} ${durationMs.toFixed(0)} ms`));
    const hit: string[] = [];
    for (const point of killPoints(POINTS, phases, randomNumbers(SEED))) {
      await using rig = await SaveRig.start(writer);
      const { qemu, qmp } = rig.guest;
      const steps = new StepsSeen();
      steps.follow(qmp);
      const saving = save(qmp, rig.target, { ...rig.options, onProgress: ({ step }) => steps.add(step) });
      const ended = saving.then(
        () => undefined,
        (error: unknown) => error,
      );
      await steps.reach(point, ended);
      process.kill(qemu.pid, 'SIGKILL');
      const { last } = steps;
      steps.stop();
      const error = await ended;
      const when = `killed ${describePoint(point)}`;
      // A QEMU that dies behind the publication takes the guest along, not the snapshot.
      const isComplete =
        error === undefined || (error instanceof Error && /snapshot is complete/.test(error.message));
      hit.push(isComplete ? 'too late' : last);
      if (error !== undefined) {
        t.like(error, { code: 'ERR_MAPPED_RAM_QEMU' }, when);
        t.regex(error instanceof Error ? error.message : '', /QEMU was killed by SIGKILL/, when);
      }
      t.is(await rig.assertNoneIncomplete(t, when), isComplete, when);
      t.deepEqual(await readdir(rig.directory), isComplete ? ['snapshot'] : [], when);
      t.deepEqual(await untilNoGuard(), [], when);
    }
    t.log('killed after', hit.join(', '));
    t.true(areAtWork(hit), 'hardly one was killed at work');
  });

  qemuTest(`a QEMU that is to quit after its save does, writer ${writer}`, async (t) => {
    await using rig = await SaveRig.start(writer);
    const { qemu, qmp } = rig.guest;
    const result = await save(qmp, rig.target, { ...rig.quickly, after: 'quit' });
    t.like(result, { runState: undefined, pauseMs: undefined });
    t.is(result.warnings.length, writer === 'live' ? 1 : 0, result.warnings.join());
    t.deepEqual(await qemu.exited, { code: 0, signal: null });
    t.true(await rig.assertNoneIncomplete(t, 'quit'));
    t.deepEqual(runningGuards(), []);
  });
}
