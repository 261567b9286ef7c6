import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { ForkOrder } from '../fork/fork-worker.ts';
import { settings } from '../negotiate/carry-out.ts';
import { killCount, randomNumbers } from '../save/kill-points.ts';
import { untilNoGuard } from '../save/running-guards.ts';
import { ForkRig, SOURCES } from '../support/fork-rig.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const SEED = 11;
const POINTS = killCount(2);
const CLONES = 2;
const WORKER = fileURLToPath(new URL('../fork/fork-worker.ts', import.meta.url));

for (const kind of SOURCES) {
  qemuTest(`a process that is killed while it forks a ${kind} guest leaves nothing behind`, async (t) => {
    await using dir = await temporaryDirectory();
    await using clones = await temporaryDirectory();
    const server = dir.file('qmp.sock');
    await using rig = await ForkRig.start(kind, dir, {
      extraArgs: ['-qmp', `unix:${server},server=on,wait=off`],
    });
    const { source } = rig;
    const order = (isWarm: boolean): ForkOrder => ({
      server,
      directory: clones.path,
      clones: CLONES,
      isWarm,
    });
    const before = await settings(source.qmp);
    const whole = [await timeOf(order(true)), await timeOf(order(false))];
    end(clones.path);
    const random = randomNumbers(SEED);
    const hit = { before: 0, after: 0 };
    for (let point = 0; point < POINTS; point += 1) {
      const isWarm = point % 2 === 0;
      const worker = await begin(order(isWarm));
      // The first comes in the middle, and some of the others when it is over.
      const afterMs = random() * (point === 0 ? 0.5 : 1.1) * (whole[isWarm ? 0 : 1] ?? 0);
      await delay(afterMs);
      worker.kill('SIGKILL');
      await once(worker, 'exit');
      const when = `${isWarm ? 'warm' : 'cold'}, killed after ${afterMs.toFixed(1)} ms`;
      // Clones are their owner's from the end of the fork on; all others end.
      for (let tries = 0; tries < 60 && qemusOf(clones.path).length > 0; tries += 1) await delay(50);
      const left = end(clones.path);
      t.true(left === 0 || left === CLONES, `${left} of ${CLONES} clones are left: ${when}`);
      hit[left === 0 ? 'before' : 'after'] += 1;
      t.deepEqual(await untilNoGuard(), [], `${when}: a guard is left`);
      await rig.assertAsBefore(t, when);
      t.deepEqual(await settings(source.qmp), before, when);
      const objects = await source.qmp.execute('qom-list', { path: '/objects' });
      t.false(JSON.stringify(objects).includes('mapped-ram-save'), `${when}: the claim is left`);
      await source.waitForGenerations(1);
    }
    t.log(`seed ${SEED}: ${hit.before} of ${POINTS} were killed before the clones were handed out`);
    t.true(hit.before > 0);
    await source.assertAlive();
  });
}

/** Starts a process that forks. Settles when the fork begins. */
async function begin(order: ForkOrder): Promise<ChildProcess> {
  const worker = fork(WORKER, { execArgv: ['--import=@oxc-node/core/register'] });
  await once(worker, 'message');
  worker.send(order);
  await once(worker, 'message');
  return worker;
}

/** The milliseconds of a fork that nobody disturbs. */
async function timeOf(order: ForkOrder): Promise<number> {
  const worker = await begin(order);
  const startedAt = performance.now();
  await Promise.race([
    once(worker, 'message'),
    once(worker, 'exit').then(() => Promise.reject(new Error('the fork has failed'))),
  ]);
  const took = performance.now() - startedAt;
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  return took;
}

/** Kills the QEMUs that have files in a directory. @returns how many there were */
function end(directory: string): number {
  const pids = qemusOf(directory);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  return pids.length;
}

function qemusOf(directory: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0', 1);
        const isGone = /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
        return (
          program.includes('qemu') &&
          !isGone &&
          readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(directory)
        );
      } catch {
        // It has ended meanwhile.
        return false;
      }
    })
    .map(Number);
}
