import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { areThreadsAsleep } from '../../ts/host/threads-asleep.ts';

/** A process with a second thread of its own, which works when it is told to. */
const PROGRAM = `
const { Worker } = require('node:worker_threads');
const worker = new Worker("require('node:worker_threads').parentPort.once('message', () => { for (;;); })", { eval: true });
worker.once('online', () => console.log('ready'));
process.stdin.once('data', () => { worker.postMessage(0); setTimeout(() => console.log('works'), 300); });
`;

test('a process sleeps while all of its other threads do, and not while one works', async (t) => {
  const child = spawn(process.execPath, ['-e', PROGRAM], { stdio: ['pipe', 'pipe', 'ignore'] });
  const { pid } = child;
  if (pid === undefined) throw new Error('no process');
  try {
    await once(child.stdout, 'data');
    let asleep = areThreadsAsleep(pid, new Set());
    for (let tries = 0; asleep !== true && tries < 200; tries += 1) {
      await delay(20);
      asleep = areThreadsAsleep(pid, new Set());
    }
    t.true(asleep);
    child.stdin.write('go');
    await once(child.stdout, 'data');
    t.false(areThreadsAsleep(pid, new Set()));
    const all = new Set(readdirSync(`/proc/${pid}/task`).map(Number));
    t.true(areThreadsAsleep(pid, all), 'threads that do not matter');
    t.is(
      areThreadsAsleep(pid, new Set([...all, 1])),
      undefined,
      'a thread that is not there: ids of another namespace',
    );
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  t.is(areThreadsAsleep(pid, new Set()), undefined, 'a process that is gone');
});
