import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { endOfProcess } from '../../../ts/host/process-end.ts';
import { MOMENTS } from './watch-worker.ts';

const WORKER = fileURLToPath(new URL('watch-worker.ts', import.meta.url));
/** Milliseconds in which a watch ends what it watches, and those in which it leaves the others alone. */
const [ENDS_MS, STAYS_MS] = [20_000, 200];

/** The children that end with their owner. All others go on. */
const DOOMED: Readonly<Record<(typeof MOMENTS)[number], string>> = {
  started: 'first',
  told: 'first',
  'let go': '',
  'begun again': 'second',
};

/** Runs a worker that kills itself at a moment. @returns the ids of the children that it has started, by their parts */
async function childrenOf(moment: string): Promise<readonly (readonly [part: string, pid: number])[]> {
  const args = ['--import=@oxc-node/core/register', WORKER, moment];
  const printed = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, args, (error, stdout) => {
      if (error?.signal === 'SIGKILL') resolve(stdout);
      else reject(error ?? new Error('the worker has not killed itself'));
    });
  });
  return [...printed.matchAll(/^(\w+) (\d+)$/gm)].map(([, part = '', pid]) => [part, Number(pid)]);
}

for (const moment of MOMENTS) {
  test(`an owner that is killed takes along whom it has not let go: killed when a child was ${moment}`, async (t) => {
    const children = await childrenOf(moment);
    t.teardown(() => {
      for (const [, pid] of children) if (pidLives(pid)) process.kill(pid, 'SIGKILL');
    });
    t.true(children.some(([part]) => part === 'unwatched'));
    t.is(
      children.some(([part]) => part === DOOMED[moment]),
      DOOMED[moment] !== '',
    );
    for (const [part, pid] of children.toSorted(([one]) => (one === DOOMED[moment] ? -1 : 1))) {
      const isDoomed = part === DOOMED[moment];
      const end = await endOfProcess(pid, isDoomed ? ENDS_MS : STAYS_MS);
      t.is(end === undefined, !isDoomed, `${part}: ${end}`);
    }
  });
}

function pidLives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
