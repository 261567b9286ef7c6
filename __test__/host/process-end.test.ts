import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { endOfProcess } from '../../ts/host/process-end.ts';

const LINUX = process.platform === 'linux' ? test : test.skip;

test('a process that runs has no end, and one that is gone has ended', async (t) => {
  t.is(await endOfProcess(process.pid, 50), undefined);
  const child = spawn(process.execPath, ['-e', '0']);
  await once(child, 'exit');
  t.is(await endOfProcess(child.pid ?? 0, 50), 'has ended');
});

test('a process that waits for nothing else does not end meanwhile', async (t) => {
  const module = new URL('../../ts/host/process-end.ts', import.meta.url).href;
  const program = `const { endOfProcess } = await import(${JSON.stringify(module)}); await endOfProcess(process.ppid, 100);`;
  const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', program], {
    stdio: 'inherit',
  });
  // Node's status would be 13.
  t.deepEqual(await once(child, 'exit'), [0, null]);
});

/** A shell that does not ask for the end of its child: the kernel keeps the child's status as long. */
const CARELESS = 'sh -c "sleep 0.2; $0" & echo $!; exec sleep 20';

LINUX('the end of a process that nobody has asked for yet is told', async (t) => {
  for (const [end, words] of [
    ['kill -9 $$', 'was killed by SIGKILL'],
    ['kill -TERM $$', 'was killed by SIGTERM'],
    ['exit 3', 'exited with status 3'],
    ['exit 0', 'has ended'],
  ] as const) {
    const parent = spawn('bash', ['-c', CARELESS, end], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const [text] = await once(parent.stdout.setEncoding('utf8'), 'data');
      const pid = Number(text);
      const ending = endOfProcess(pid, 10_000);
      t.is(await Promise.race([ending, delay(1)]), undefined);
      t.is(await ending, words, end);
      t.true(readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z '));
    } finally {
      parent.kill('SIGKILL');
    }
  }
});
