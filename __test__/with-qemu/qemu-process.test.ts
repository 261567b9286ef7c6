import { existsSync } from 'node:fs';

import test from 'ava';

import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { QEMU_BINARY, qemuTest, QEMU_VERSION } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const NONE = ['-machine', 'none', '-nodefaults', '-display', 'none'];

test('a binary that is not there is reported with its name', async (t) => {
  const error = await t.throwsAsync(QemuProcess.start({ binary: '/nowhere/qemu', args: [] }), {
    code: 'ERR_MAPPED_RAM_IO',
  });
  t.like(error, { path: '/nowhere/qemu', cause: { code: 'ENOENT' } });
});

test('a program that is no QEMU does not hold us up', async (t) => {
  await t.throwsAsync(QemuProcess.start({ binary: 'false', args: [] }), {
    code: 'ERR_MAPPED_RAM_QEMU',
    message: 'QEMU closed the connection: QEMU exited with status 1',
  });
});

qemuTest('QEMU answers over the socket pair and quits when asked', async (t) => {
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: NONE });
  t.deepEqual(Object.values(qemu.qmp.version), [...QEMU_VERSION]);
  const shutdown = qemu.qmp.waitForEvent('SHUTDOWN');
  t.deepEqual(await qemu.quit({ timeoutMs: 10_000 }), { code: 0, signal: null });
  t.like((await shutdown).data, { reason: 'host-qmp-quit' });
  await t.throwsAsync(qemu.qmp.execute('query-status'), { message: /QEMU exited with status 0/ });
});

qemuTest("a large integer goes to QEMU's parser and back unharmed", async (t) => {
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: NONE });
  await qemu.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 2n ** 63n - 1n });
  t.like(await qemu.qmp.execute('query-migrate-parameters'), { 'max-bandwidth': 2n ** 63n - 1n });
});

qemuTest('a QEMU that refuses its arguments is reported with its last words', async (t) => {
  await t.throwsAsync(QemuProcess.start({ binary: QEMU_BINARY, args: ['-machine', 'no-such-machine'] }), {
    code: 'ERR_MAPPED_RAM_QEMU',
    message: /QEMU exited with status 1: .*unsupported machine type/,
  });
});

qemuTest('the death of QEMU rejects what is pending and names the signal', async (t) => {
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: NONE });
  process.kill(qemu.pid, 'SIGSTOP');
  const pending = qemu.qmp.execute('query-status');
  const event = qemu.qmp.waitForEvent('STOP');
  process.kill(qemu.pid, 'SIGKILL');
  const lost = { code: 'ERR_MAPPED_RAM_QEMU', message: /QEMU was killed by SIGKILL/ };
  await Promise.all([t.throwsAsync(pending, lost), t.throwsAsync(event, lost)]);
  t.deepEqual(await qemu.exited, { code: null, signal: 'SIGKILL' });
});

qemuTest('closing kills a QEMU that does not react, and may be repeated', async (t) => {
  const qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: NONE });
  process.kill(qemu.pid, 'SIGSTOP');
  await t.throwsAsync(qemu.quit({ timeoutMs: 20 }), {
    code: 'ERR_MAPPED_RAM_TIMEOUT',
    message: /did not quit in time/,
  });
  await qemu.close();
  await qemu.close();
  t.false(existsSync(`/proc/${qemu.pid}`));
});

qemuTest('an aborted start leaves nothing behind', async (t) => {
  const reason = new Error('enough');
  const controller = new AbortController();
  const started = QemuProcess.start({ binary: QEMU_BINARY, args: NONE, signal: controller.signal });
  controller.abort(reason);
  t.is(await t.throwsAsync(started), reason);
  t.is(await t.throwsAsync(QemuProcess.start({ args: NONE, signal: controller.signal })), reason);
});

qemuTest('a client connects to a QMP socket', async (t) => {
  await using directory = await temporaryDirectory();
  const path = directory.file('qmp.sock');
  await using qemu = await QemuProcess.start({
    binary: QEMU_BINARY,
    args: [...NONE, '-qmp', `unix:${path},server=on,wait=off`],
  });
  await using client = await QmpClient.connect(path);
  t.deepEqual(client.version, qemu.qmp.version);
  // The monitor serves one client at a time: the second one waits for its greeting.
  await t.throwsAsync(QmpClient.connect(path, { timeoutMs: 50 }), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /QEMU does not greet/,
  });
});
