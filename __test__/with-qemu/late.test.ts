import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

import { QmpClient, save, MappedRamError } from '../../ts/index.ts';
import { addFd } from '../../ts/qemu/descriptors.ts';
import { migrateIn, migrateOut } from '../../ts/qemu/migration.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { isUnknownArgument } from '../../ts/qmp/refusal.ts';
import { freePort } from '../support/free-port.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { startGuest } from '../support/qemu.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const TIMEOUT = 'ERR_MAPPED_RAM_TIMEOUT';
const NONE = ['-machine', 'none', '-nodefaults', '-display', 'none'];
const SHORT = { timeoutMs: 100 };

qemuTest('whatever a QEMU that stands still is asked for is late, and nothing else', async (t) => {
  await using dir = await temporaryDirectory();
  const socket = dir.file('qmp');
  await using qemu = await QemuProcess.start({
    binary: QEMU_BINARY,
    args: [...NONE, '-incoming', 'defer', '-qmp', `unix:${socket},server=on,wait=off`],
  });
  const { qmp } = qemu;
  await using file = await open(dir.file('file'), 'w');
  process.kill(qemu.pid, 'SIGSTOP');
  const waits: Readonly<Record<string, () => Promise<unknown>>> = {
    command: () => qmp.execute('query-status', undefined, SHORT),
    descriptor: () => addFd(qmp, file.fd, SHORT),
    event: () => qmp.waitForEvent('STOP', SHORT),
    greeting: () => QmpClient.connect(socket, SHORT),
    save: () => migrateOut(qmp, `file:${dir.file('snapshot')}`, SHORT),
    load: () => migrateIn(qmp, `file:${dir.file('snapshot')}`, SHORT),
    end: () => qemu.quit(SHORT),
  };
  for (const [what, wait] of Object.entries(waits)) await t.throwsAsync(wait(), { code: TIMEOUT }, what);
  process.kill(qemu.pid, 'SIGCONT');
});

qemuTest('a QEMU that does not come up in its time is late', async (t) => {
  const starting = QemuProcess.start({ binary: QEMU_BINARY, args: NONE, timeoutMs: 1 });
  await t.throwsAsync(starting, { code: TIMEOUT, message: /waiting for QMP: no answer in time/ });
});

qemuTest('a save of which nothing was heard in its time is late', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const slow = { writer: 'qemu', maxBandwidth: 2 ** 20, multifd: 'off', timeoutMs: 3000 } as const;
  await t.throwsAsync(save(guest.qmp, dir.file('snapshot'), slow), {
    code: TIMEOUT,
    message: /not done in/,
  });
  await guest.assertAlive();
});

qemuTest('a QMP server that serves somebody else is busy, also when it stands still', async (t) => {
  await using dir = await temporaryDirectory();
  const socket = dir.file('qmp');
  await using qemu = await QemuProcess.start({
    binary: QEMU_BINARY,
    args: [...NONE, '-qmp', `unix:${socket},server=on,wait=off`],
  });
  const busy = { code: 'ERR_MAPPED_RAM_BUSY', message: /a QMP server serves one client at a time/ };
  const held = await QmpClient.connect(socket);
  await t.throwsAsync(QmpClient.connect(socket, SHORT), busy);
  process.kill(qemu.pid, 'SIGSTOP');
  await t.throwsAsync(QmpClient.connect(`unix:${socket}`, SHORT), busy);
  // Clients that gave up fill the queue until QEMU looks into it.
  const full = { code: 'ERR_MAPPED_RAM_BUSY', message: /other clients wait there already/ };
  await t.throwsAsync(QmpClient.connect(socket, SHORT), full);
  process.kill(qemu.pid, 'SIGCONT');
  await held.close();
  await using free = await whenFree(socket);
  t.true(free.isOpen);
});

qemuTest('of a QMP server over TCP nobody sees whom it serves: its greeting is late', async (t) => {
  const address = `127.0.0.1:${await freePort()}`;
  await using qemu = await QemuProcess.start({
    binary: QEMU_BINARY,
    args: [...NONE, '-qmp', `tcp:${address},server=on,wait=off`],
  });
  await using held = await QmpClient.connect(address);
  t.deepEqual(held.version, qemu.qmp.version);
  await t.throwsAsync(QmpClient.connect(address, SHORT), { code: TIMEOUT, message: /another may hold it/ });
});

qemuTest('a server that accepts and says nothing is late, not busy', async (t) => {
  await using dir = await temporaryDirectory();
  const server = createServer(() => undefined).listen(dir.file('socket'));
  await once(server, 'listening');
  await t.throwsAsync(QmpClient.connect(dir.file('socket'), SHORT), { code: TIMEOUT });
  server.close();
});

qemuTest('what QEMU refuses, and how a migration failed, are fields of the error', async (t) => {
  await using guest = await startGuest();
  const { qmp } = guest;
  const refused = await t.throwsAsync<MappedRamError>(qmp.execute('no-such-command'));
  t.is(refused.code, 'ERR_MAPPED_RAM_QEMU');
  t.is(refused.qmp?.class, 'CommandNotFound');
  t.is(refused.shortMessage, `QEMU refused no-such-command: ${refused.qmp?.desc}`);
  t.is(refused.cause, undefined);
  // The answer of a QEMU that does not know an argument is the only one whose words the package reads.
  const unknown = await t.throwsAsync(qmp.execute<string>('query-status', { 'exit-on-error': false }));
  t.true(isUnknownArgument(unknown, 'exit-on-error'), unknown?.message);
  t.false(isUnknownArgument(unknown, 'uri'));
  t.false(isUnknownArgument(refused, 'exit-on-error'));
  const failed = await t.throwsAsync<MappedRamError>(migrateOut(qmp, 'unix:/nowhere/at/all'));
  t.is(failed.code, 'ERR_MAPPED_RAM_QEMU');
  t.is(
    failed.migration?.status ?? failed.qmp?.class,
    failed.migration === undefined ? 'GenericError' : 'failed',
  );
});

/** Connects as soon as QEMU has looked at the clients that gave up. */
async function whenFree(socket: string): Promise<QmpClient> {
  for (;;) {
    try {
      return await QmpClient.connect(socket);
    } catch (error) {
      if (!(error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_BUSY')) throw error;
      await delay(50);
    }
  }
}
