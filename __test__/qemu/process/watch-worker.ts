import { type ChildProcess, spawn } from 'node:child_process';

import { WaitingWatch } from '../../../ts/qemu/process/waiting-watch.ts';

/** The moments at which the worker can be told to kill itself. */
export const MOMENTS = ['started', 'told', 'let go', 'begun again'] as const;

const [moment] = process.argv.slice(2);

function dieAt(now: (typeof MOMENTS)[number]): void {
  if (moment === now) process.kill(process.pid, 'SIGKILL');
}

/** Starts a process that waits, and prints its id and the part that it has. */
function start(part: string, environment: NodeJS.ProcessEnv): ChildProcess {
  // A line break in one variable hides no other.
  const env = { ...process.env, A: 'first\nsecond', ...environment, Z: 'first\nsecond' };
  const child = spawn('sleep', ['1000'], { stdio: 'ignore', env, detached: true });
  process.stdout.write(`${part} ${child.pid}\n`);
  return child;
}

if (moment !== undefined) {
  const watch = WaitingWatch.start();
  start('unwatched', {});
  const first = watch.begin((environment) => {
    const child = start('first', environment);
    dieAt('started');
    return child;
  });
  dieAt('told');
  await watch.letGo(first.pid ?? 0);
  dieAt('let go');
  watch.begin((environment) => {
    const child = start('second', environment);
    dieAt('begun again');
    return child;
  });
}
