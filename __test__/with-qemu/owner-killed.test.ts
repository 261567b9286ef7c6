import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import type { Owned, OwnerOrder } from '../pool/owner-worker.ts';
import { QEMU_BINARY, QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const WORKER = fileURLToPath(new URL('../pool/owner-worker.ts', import.meta.url));

let dir: TemporaryDirectory;
test.before(async () => {
  dir = await temporaryDirectory();
  if (QEMU_MISSING === undefined) await saveGuest({}, dir.file('guest.snapshot'));
});
test.after.always(() => dir[Symbol.asyncDispose]());

/** Whether a script starts QEMU, and waits for it. */
const KINDS: readonly (Pick<OwnerOrder, 'wait'> & { readonly script: boolean })[] = [
  { wait: 'mapped', script: false },
  { wait: 'loaded', script: true },
];

for (const { wait, script } of KINDS) {
  const how = `${wait}${script ? ', behind a script' : ''}`;
  qemuTest(`QEMUs that wait end with an owner that is killed, guests go on: ${how}`, async (t) => {
    await using own = await temporaryDirectory();
    if (script) await writeFile(own.file('qemu'), `#!/bin/sh\n${QEMU_BINARY} "$@"\n`, { mode: 0o755 });
    const worker = fork(WORKER, { execArgv: ['--import=@oxc-node/core/register'] });
    await once(worker, 'message');
    const order: OwnerOrder = {
      snapshot: dir.file('guest.snapshot'),
      directory: own.file('.'),
      wait,
      binary: script ? own.file('qemu') : QEMU_BINARY,
    };
    worker.send(order);
    const { guests, others } = await message(worker);
    try {
      // Two of the pool, two of the fork, with what starts them; two watches and a guard.
      t.true(others.length >= 7, others.join());
      t.deepEqual(others.filter(isGone), []);
      worker.kill('SIGKILL');
      await once(worker, 'exit');
      for (let tries = 0; tries < 200 && !others.every(isGone); tries += 1) await delay(50);
      t.deepEqual(others.filter((pid) => !isGone(pid)).map(commandOf), [], 'they are left');
      t.deepEqual(guests.filter(isGone), [], "a guest is somebody's");
    } finally {
      for (const pid of guests) if (!isGone(pid)) process.kill(pid, 'SIGKILL');
    }
  });
}

async function message(worker: ReturnType<typeof fork>): Promise<Owned> {
  return new Promise((resolve, reject) => {
    worker.once('message', (owned: Owned) => resolve(owned));
    worker.once('exit', (code) => reject(new Error(`the owner has ended: ${code}`)));
  });
}

/** True for a process that has ended, whether or not somebody has asked for its end. */
function isGone(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true;
  }
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').slice(0, 200);
}
