import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { qemuTest } from '../support/qemu-required.ts';
import {
  areAtWork,
  describePoint,
  killCount,
  killPoints,
  randomNumbers,
  StepsSeen,
} from '../save/kill-points.ts';
import { RIG_KINDS, SaveRig } from '../save/save-rig.ts';

const SEED = 3;
const POINTS = killCount(5);
const WORKER = fileURLToPath(new URL('../save/save-worker.ts', import.meta.url));

/** Starts a process that saves on demand. */
async function startWorker(): Promise<ChildProcess> {
  const worker = fork(WORKER, { execArgv: ['--import=@oxc-node/core/register'] });
  await once(worker, 'message');
  return worker;
}

/** Tells the process to save. @returns the steps of the save, once it has begun */
async function begin(worker: ChildProcess, { guest, server, target, options }: SaveRig): Promise<StepsSeen> {
  worker.send({ server, target, options });
  await once(worker, 'message');
  const steps = new StepsSeen();
  steps.follow(guest.qmp);
  worker.on('message', (step) => steps.add(typeof step === 'string' ? step : 'nonsense'));
  return steps;
}

for (const writer of RIG_KINDS) {
  qemuTest(`a saving process that is killed leaves nothing behind, writer ${writer}`, async (t) => {
    await using rig = await SaveRig.start(writer);
    const measured = await startWorker();
    const whole = await begin(measured, rig);
    await once(measured, 'exit');
    const phases = whole.stop();
    t.true(await rig.assertNoneIncomplete(t, 'not killed'));
    await rig.assertAsBefore(t, 'not killed');
    t.log(`seed ${SEED}`, ...phases.map(({ step, durationMs }) => `${step} ${durationMs.toFixed(0)} ms`));
    const hit: string[] = [];
    for (const [index, point] of killPoints(POINTS, phases, randomNumbers(SEED)).entries()) {
      const runs = writer === 'live' || index % 3 !== 2;
      const worker = await startWorker();
      const exited = once(worker, 'exit');
      await rig.prepare(runs);
      const steps = await begin(worker, rig);
      await steps.reach(point, exited);
      worker.kill('SIGKILL');
      await exited;
      steps.stop();
      hit.push(steps.last);
      await rig.assertAsBefore(t, `${runs ? 'running' : 'stopped'}, killed ${describePoint(point)}`);
    }
    t.log('killed after', hit.join(', '));
    t.true(areAtWork(hit), 'hardly one was killed at work');
  });
}
