import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { truncate } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { attach, MappedRamError, QmpClient, recover, save } from '../../ts/index.ts';
import { querySettings } from '../../ts/qemu/settings.ts';
import type { RestoreOptions } from '../../ts/restore/restore.ts';
import type { LazyOrder } from '../restore/lazy-worker.ts';
import { nextPageServer, pageServers, untilNoPageServer } from '../restore/lazy-servers.ts';
import { assertMemory } from '../save/captured-guest.ts';
import { killCount } from '../save/kill-points.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { type GuestSetup, MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, type RestoredTestGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const dir = await temporaryDirectory();
test.after.always(() => dir[Symbol.asyncDispose]());

const SETUP: GuestSetup = { memoryMiB: 128, region: { start: 16 * MIB, length: 16 * MIB } };
const path = dir.file('guest.mr');

test.before(async () => {
  if (QEMU_MISSING !== undefined) return;
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(2);
  await guest.stop();
  await save(guest.qmp, path, { writer: 'engine' });
});

type Lazily = Omit<RestoreOptions, 'binary' | 'args' | 'mode'>;

function restoreLazily(options: Lazily): Promise<RestoredTestGuest> {
  return restoreGuest(path, SETUP, { ...options, mode: 'lazy' });
}

function kill(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** A pace at which a test has the time to kill. */
const SLOWLY = { maxBandwidth: 40 * MIB };

for (const preempt of [true, false]) {
  qemuTest(`when the server is killed, another takes over: preempt ${preempt}`, async (t) => {
    let takeOvers = 0;
    for (let count = 0; count < killCount(4); count += 1) {
      const after = count % 2 === 0 ? 'cont' : 'stop';
      const before = pageServers();
      await using guest = await restoreLazily({ after, postcopy: { preempt, ...SLOWLY } });
      for (let kills = 0; kills <= count % 3; kills += 1) {
        const server = pageServers().find((pid) => !before.includes(pid));
        await delay(Math.random() * 250);
        kill(server);
      }
      const report = await guest.restored.memoryComplete;
      takeOvers += report?.takeOvers ?? 0;
      if (after === 'stop') await assertMemory(t, guest, path, `round ${count}`);
      await guest.assertAlive();
    }
    t.true(takeOvers > 0);
    t.deepEqual(await untilNoPageServer(), []);
  });
}

qemuTest('a server that is killed before the guest runs is not seen but for the time', async (t) => {
  for (let count = 0; count < killCount(4); count += 1) {
    const before = pageServers();
    const restoring = restoreLazily({ postcopy: SLOWLY });
    restoring.catch(() => undefined);
    const server = await nextPageServer(before);
    // Node has begun a moment before the server has.
    await delay(Math.random() * 400);
    kill(server);
    await using guest = await restoring;
    await guest.restored.memoryComplete;
    await guest.assertAlive();
  }
  t.deepEqual(await untilNoPageServer(), []);
});

/** A QEMU that waits, with a second monitor. */
async function waiting(sockets: { file(name: string): string }): Promise<TestGuest> {
  const extraArgs = ['-qmp', `unix:${sockets.file('qmp')},server=on,wait=off`];
  return startGuest({ ...SETUP, incoming: true, extraArgs });
}

async function untilSaid(worker: ChildProcess, word: string): Promise<void> {
  for (;;) {
    const [said] = await once(worker, 'message');
    if (said === word) return;
  }
}

async function startWorker(order: LazyOrder): Promise<ChildProcess> {
  const worker = fork(fileURLToPath(new URL('../restore/lazy-worker.ts', import.meta.url)));
  await untilSaid(worker, 'ready');
  worker.send(order);
  return worker;
}

qemuTest('the memory comes although the process that let the guest run is killed', async (t) => {
  await using sockets = await temporaryDirectory();
  await using guest = await waiting(sockets);
  const server = sockets.file('qmp');
  const worker = await startWorker({ server, snapshot: path, postcopy: SLOWLY });
  await untilSaid(worker, 'running');
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  const { status } = await guest.qmp.execute('query-migrate');
  t.true(status === 'postcopy-active' || status === 'completed', status);
  await guest.waitForGenerations(2);
  for (let tries = 0; tries < 500; tries += 1) {
    if ((await guest.qmp.execute('query-migrate')).status === 'completed') break;
    await delay(20);
  }
  t.is((await guest.qmp.execute('query-migrate')).status, 'completed');
  await guest.assertAlive();
});

qemuTest('when both are gone, recover brings the rest, and once only', async (t) => {
  await using sockets = await temporaryDirectory();
  await using guest = await waiting(sockets);
  const server = sockets.file('qmp');
  const worker = await startWorker({ server, snapshot: path, postcopy: { push: 'off' } });
  await untilSaid(worker, 'running');
  const { pid = 0 } = worker;
  const servers = pageServers(pid);
  t.is(servers.length, 1);
  await t.throwsAsync(recover(guest.qmp, path), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /a server that lives/,
  });
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  for (const one of servers) kill(one);
  for (let tries = 0; tries < 500; tries += 1) {
    if ((await guest.qmp.execute('query-migrate')).status === 'postcopy-paused') break;
    await delay(10);
  }
  await using qmp = await QmpClient.connect(server, { oob: true });
  const memory = await recover(qmp, path);
  const { contentBytes, arrivedBytes } = memory.progress();
  t.true(arrivedBytes <= contentBytes);
  const report = await memory.complete;
  t.true((report.pushedBytes ?? 0) > 0);
  await guest.assertAlive();
  await t.throwsAsync(recover(qmp, path), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /waits for no memory/,
  });
  // QEMU has no setting left of this.
  await save(guest.qmp, dir.file('after'), { overwrite: true });
});

qemuTest('a QEMU whose main thread waits for a page gets it from the next server', async (t) => {
  await using guest = await restoreLazily({ after: 'stop', postcopy: { push: 'off' } });
  const [server] = pageServers();
  assert(server !== undefined);
  // A server that hangs answers nothing, and QEMU's main thread waits for the page.
  process.kill(server, 'SIGSTOP');
  const saving = guest.qmp.execute('pmemsave', { val: 20 * MIB, size: MIB, filename: dir.file('pmem') });
  await delay(300);
  kill(server);
  await saving;
  const requests = (): number => guest.restored.memory?.progress().requests ?? 0;
  for (let tries = 0; tries < 100 && requests() === 0; tries += 1) await delay(20);
  t.true(requests() > 0);
  await guest.assertAlive();
});

qemuTest('when QEMU dies, the memory has nowhere to go, and the server ends', async (t) => {
  await using guest = await restoreLazily({ postcopy: { push: 'off' } });
  const complete = guest.restored.memoryComplete;
  process.kill(guest.qemu.pid, 'SIGKILL');
  await t.throwsAsync(complete, { code: 'ERR_MAPPED_RAM_QEMU', message: /SIGKILL/ });
  t.deepEqual(await untilNoPageServer(), []);
});

qemuTest('a page that cannot be read is named, and the guest gets no zeros in its place', async (t) => {
  const broken = dir.file('broken.mr');
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(2);
  await guest.stop();
  await save(guest.qmp, broken, { writer: 'engine' });
  await using clone = await restoreGuest(broken, SETUP, {
    mode: 'lazy',
    after: 'stop',
    postcopy: { push: 'off' },
  });
  await truncate(broken, 20 * MIB);
  await clone.cont();
  const error = await t.throwsAsync(clone.restored.memoryComplete, { instanceOf: MappedRamError });
  t.regex(error.message, /page 0x[0-9a-f]+ of block "?pc\.ram"? cannot be read/);
  t.true(error.message.includes(broken), error.message);
  // The guest waits, and has seen nothing wrong.
  await delay(500);
  t.false(clone.serial().includes('E'));
});

async function killedOnce(): Promise<void> {
  await using guest = await restoreLazily({ postcopy: SLOWLY });
  const [server] = pageServers();
  kill(server);
  await guest.restored.memoryComplete;
  await guest.restored[Symbol.asyncDispose]();
}

qemuTest('servers that are killed leave no descriptor, thread or process', async (t) => {
  await assertNoLeak(t, killedOnce, killedOnce);
  t.deepEqual(await untilNoPageServer(), []);
});

qemuTest('a connection for commands out of band recovers, too', async (t) => {
  await using sockets = await temporaryDirectory();
  await using guest = await waiting(sockets);
  await using qmp = await QmpClient.connect(sockets.file('qmp'), { oob: true });
  const attached = await attach(qmp, path, { mode: 'lazy', after: 'stop', postcopy: SLOWLY });
  const [server] = pageServers();
  kill(server);
  const report = await attached.memoryComplete;
  t.is(report?.takeOvers, 1);
  await assertMemory(t, guest, path, 'after');
});

qemuTest('two connections are had only where a death at the end can be survived', async (t) => {
  await using sockets = await temporaryDirectory();
  await using guest = await waiting(sockets);
  const refusal = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /connect with \{ oob: true \}/ };
  const before = await querySettings(guest.qmp, {});
  const postcopy = { preempt: true, push: 'off' } as const;
  await t.throwsAsync(attach(guest.qmp, path, { mode: 'lazy', postcopy }), refusal);
  t.deepEqual(await querySettings(guest.qmp, {}), before);
  await using qmp = await QmpClient.connect(sockets.file('qmp'), { oob: true });
  const { memory } = await attach(qmp, path, { mode: 'lazy', postcopy });
  // Whoever brought the memory goes away.
  await memory?.[Symbol.asyncDispose]();
  for (let tries = 0; tries < 500; tries += 1) {
    if ((await guest.qmp.execute('query-migrate')).status === 'postcopy-paused') break;
    await delay(10);
  }
  await t.throwsAsync(recover(guest.qmp, path), refusal);
  const recovered = await recover(qmp, path);
  await recovered.complete;
  await guest.assertAlive();
});
