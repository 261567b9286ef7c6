import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { constants, readdirSync, readlinkSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { PassThrough, Duplex } from 'node:stream';

import test from 'ava';

import { addFd, getFd, queryFdset, removeFd } from '../../ts/qemu/descriptors.ts';
import { FdSet } from '../../ts/qemu/fd-set.ts';
import { migrateIn, migrateOut } from '../../ts/qemu/migration.ts';
import { loadFrom, saveTo } from '../support/plain-migration.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { startGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const NONE = ['-machine', 'none', '-nodefaults', '-display', 'none'];
const startBare = (...args: readonly string[]): Promise<QemuProcess> =>
  QemuProcess.start({ binary: QEMU_BINARY, args: [...NONE, ...args] });

/** QEMU's descriptors of this file. */
function openIn(pid: number, path: string): readonly string[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).filter((fd) => {
    try {
      return readlinkSync(`${directory}/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  });
}

qemuTest('a descriptor reaches QEMU over the socket pair, and goes again', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startBare();
  const file = await open(directory.file('x'), 'w');
  const { fdsetId, fd } = await addFd(qemu.qmp, file.fd);
  await file.close();
  t.is(readlinkSync(`/proc/${qemu.pid}/fd/${fd}`), directory.file('x'));
  const sets = await qemu.qmp.execute('query-fdsets');
  t.deepEqual(sets, [{ 'fdset-id': fdsetId, fds: [{ fd, opaque: 'O_WRONLY' }] }]);
  const second = await open(directory.file('x'), 'r+');
  t.is((await addFd(qemu.qmp, second.fd, { fdset: fdsetId, opaque: 'mine' })).fdsetId, fdsetId);
  await second.close();
  t.deepEqual(await queryFdset(qemu.qmp, fdsetId), [
    { mode: 'write', direct: false },
    { mode: 'both', direct: false },
  ]);
  await removeFd(qemu.qmp, fdsetId, { fd });
  t.is((await queryFdset(qemu.qmp, fdsetId))?.length, 1);
  await removeFd(qemu.qmp, fdsetId);
  t.deepEqual(await qemu.qmp.execute('query-fdsets'), []);
  t.is(await queryFdset(qemu.qmp, fdsetId), undefined);
  t.deepEqual(openIn(qemu.pid, directory.path), []);
});

qemuTest('a descriptor reaches QEMU over a unix socket, by both spellings of its address', async (t) => {
  await using directory = await temporaryDirectory();
  const path = directory.file('qmp.sock');
  await using qemu = await startBare('-qmp', `unix:${path},server=on,wait=off`);
  for (const address of [path, `unix:${path}`]) {
    await using client = await QmpClient.connect(address);
    t.true(client.passesDescriptors);
    const file = await open('/dev/null', 'w');
    const { fdsetId } = await addFd(client, file.fd);
    await file.close();
    // The client does not know the process to which it talks, so it goes by the notes of addFd.
    t.deepEqual(await queryFdset(client, fdsetId), [{ mode: 'write', direct: false }]);
    await removeFd(client, fdsetId);
  }
  t.deepEqual(await qemu.qmp.execute('query-fdsets'), []);
});

qemuTest('TCP carries commands but no descriptors', async (t) => {
  const port = 20_000 + (process.pid % 20_000);
  await using qemu = await startBare('-qmp', `tcp:127.0.0.1:${port},server=on,wait=off`);
  for (const address of [`tcp:127.0.0.1:${port}`, `127.0.0.1:${port}`]) {
    await using client = await QmpClient.connect(address);
    t.false(client.passesDescriptors);
    const file = await open('/dev/null', 'w');
    const sending = addFd(client, file.fd);
    await t.throwsAsync(sending, { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /unix socket/ });
    await file.close();
    // No part of the refused command was sent: the connection is as good as before.
    t.like(await client.execute('query-status'), { running: true });
  }
  t.deepEqual(await qemu.qmp.execute('query-fdsets'), []);
});

test('a duplex that was given carries no descriptors', async (t) => {
  const toClient = new PassThrough();
  const fromClient = new PassThrough();
  const stream = Duplex.from({ readable: toClient, writable: fromClient });
  toClient.write('{"QMP":{"version":{"qemu":{"major":10,"minor":0,"micro":2}}}}\n');
  fromClient.once('data', () => toClient.write('{"return":{},"id":1}\n'));
  const client = await QmpClient.connect(stream);
  t.false(client.passesDescriptors);
  await t.throwsAsync(client.execute('add-fd', {}, { fd: 0 }), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  await client.close();
  await t.throwsAsync(client.execute('add-fd', {}, { fd: 0 }), { code: 'ERR_MAPPED_RAM_CLOSED' });
});

qemuTest('descriptors and large commands that overlap stay in order, each with its own', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startBare();
  const filler = 'x'.repeat(30_000);
  const files = await Promise.all(
    Array.from({ length: 12 }, (_, index) => open(directory.file(`f${index}`), 'w')),
  );
  const added = files.map(async (file, index) => {
    // The commands together are more than the socket takes: it is full most of the time.
    const big = qemu.qmp.execute('human-monitor-command', { 'command-line': `help ${filler}` });
    const one = await addFd(qemu.qmp, file.fd, { fdset: index, opaque: `${index} ${filler}` });
    await big;
    return one;
  });
  const fds = await Promise.all(added);
  await Promise.all(files.map((file) => file.close()));
  for (const [index, { fdsetId, fd }] of fds.entries()) {
    t.is(fdsetId, index);
    t.is(readlinkSync(`/proc/${qemu.pid}/fd/${fd}`), directory.file(`f${index}`));
  }
  await Promise.all(fds.map(({ fdsetId }) => removeFd(qemu.qmp, fdsetId)));
});

test('a descriptor waits for room in a full socket, the rest of its message too; given up before, it is not sent', async (t) => {
  await using directory = await temporaryDirectory();
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  server.listen(directory.file('qmp.sock'));
  const connecting = QmpClient.connect(directory.file('qmp.sock'));
  const peer = await accepted;
  peer.write('{"QMP":{"version":{"qemu":{"major":10,"minor":0,"micro":2}}}}\n');
  await once(peer, 'data');
  peer.write('{"return":{},"id":1}\n');
  const client = await connecting;
  peer.pause();
  const file = await open('/dev/null', 'w');
  // The command is more than the socket takes, so that the descriptor's turn does not come.
  const big = client.execute('big', { filler: 'x'.repeat(4_000_000) });
  const late = client.execute('add-fd', { opaque: 'late' }, { fd: file.fd, timeoutMs: 50 });
  await t.throwsAsync(late, { code: 'ERR_MAPPED_RAM_TIMEOUT', message: /add-fd: no answer in time/ });
  const kept = client.execute('add-fd', { opaque: `kept${'y'.repeat(1_000_000)}` }, { fd: file.fd });
  let received = '';
  peer.setEncoding('utf8').on('data', (text: string) => (received += text));
  peer.resume();
  while (!received.endsWith('"id":4}\n')) await new Promise((resolve) => setTimeout(resolve, 5));
  const opaque: unknown = JSON.parse(received.split('\n')[1] ?? '');
  t.like(opaque, { execute: 'add-fd', arguments: { opaque: `kept${'y'.repeat(1_000_000)}` } });
  peer.write('{"return":{},"id":2}\n{"return":{},"id":4}\n');
  await Promise.all([big, kept]);
  await client.close();
  await file.close();
  peer.destroy();
  server.close();
});

test('what is no descriptor is an error, and the connection survives it', async (t) => {
  await using directory = await temporaryDirectory();
  const server = createServer((peer) => {
    peer.write('{"QMP":{"version":{"qemu":{"major":10,"minor":0,"micro":2}}}}\n');
    peer.setEncoding('utf8').on('data', (text: string) => {
      for (const [, id] of text.matchAll(/"id":(\d+)/g)) peer.write(`{"return":{},"id":${id}}\n`);
    });
  });
  server.listen(directory.file('qmp.sock'));
  const client = await QmpClient.connect(directory.file('qmp.sock'));
  const error = await t.throwsAsync(client.execute('add-fd', {}, { fd: 99_999 }), {
    code: 'ERR_MAPPED_RAM_IO',
  });
  t.like(error?.cause, { code: 'EBADF' });
  t.deepEqual(await client.execute('query-status'), {});
  await client.close();
  server.close();
});

qemuTest('a named descriptor takes a stream, and can be taken back', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  await guest.stop();
  // QEMU 11 takes no regular file under a name.
  const fifo = directory.file('fifo');
  spawnSync('mkfifo', [fifo]);
  const reader = spawn('cp', [fifo, directory.file('stream')]);
  const copied = new Promise((resolve) => void reader.once('exit', resolve));
  const file = await open(fifo, 'w');
  await getFd(guest.qmp, file.fd, 'unused');
  await guest.qmp.execute('closefd', { fdname: 'unused' });
  const again = guest.qmp.execute('closefd', { fdname: 'unused' });
  await t.throwsAsync(again, { code: 'ERR_MAPPED_RAM_QEMU' });
  await getFd(guest.qmp, file.fd, 'out');
  await file.close();
  await saveTo(guest.qmp, 'fd:out', { mappedRam: false });
  await copied;
  t.is((await readFile(directory.file('stream'))).subarray(0, 4).toString(), 'QEVM');
});

for (const direct of [false, true]) {
  const how = direct ? 'buffered and with O_DIRECT' : 'buffered';
  qemuTest(`a set of ours saves and restores a guest, ${how}, and is gone afterwards`, async (t) => {
    await using directory = await temporaryDirectory();
    const path = directory.file('snapshot');
    const options = { multifd: true, channels: 2, directIo: direct };
    await using source = await startGuest();
    await source.waitForGenerations(1);
    const saved = await source.checkMemory();
    {
      await using set = await FdSet.open(source.qmp, { path, access: 'write', direct });
      t.deepEqual(
        await queryFdset(source.qmp, set.id),
        (direct ? [false, true] : [false]).map((bit) => ({ mode: 'write', direct: bit })),
      );
      await saveTo(source.qmp, `file:${set.filename}`, options);
    }
    t.deepEqual(await source.qmp.execute('query-fdsets'), []);
    t.deepEqual(openIn(source.qemu.pid, path), []);
    t.is((await stat(path)).mode & 0o777, 0o600);
    await using clone = await startGuest({ incoming: true });
    {
      await using set = await FdSet.open(clone.qmp, { path, access: 'read', direct });
      await loadFrom(clone.qmp, `file:${set.filename}`, options);
    }
    t.deepEqual(await clone.qmp.execute('query-fdsets'), []);
    t.deepEqual(openIn(clone.qemu.pid, path), []);
    t.deepEqual(await clone.checkMemory(), saved);
  });
}

qemuTest('a set is gone from QEMU and here after a save that fails or is cancelled', async (t) => {
  await using directory = await temporaryDirectory();
  const path = directory.file('snapshot');
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  await guest.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 1024 * 1024 });
  const cancelled = async (): Promise<void> => {
    await using set = await FdSet.open(guest.qmp, { path, access: 'write', direct: true });
    const save = migrateOut(guest.qmp, `file:${set.filename}`, { timeoutMs: 100 });
    await t.throwsAsync(save, { message: /not done in time/ });
  };
  const failed = async (): Promise<void> => {
    // QEMU wants a descriptor with O_WRONLY and finds one with O_RDONLY.
    await using set = await FdSet.open(guest.qmp, { path, access: 'read', direct: false });
    await t.throwsAsync(migrateOut(guest.qmp, `file:${set.filename}`), { code: 'ERR_MAPPED_RAM_QEMU' });
  };
  await assertNoLeak(t, cancelled, async () => {
    await cancelled();
    await failed();
  });
  t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
  t.deepEqual(openIn(guest.qemu.pid, path), []);
  await guest.assertAlive();
});

qemuTest(
  'a set that is given up half way leaves nothing, and neither does one that cannot be opened',
  async (t) => {
    await using directory = await temporaryDirectory();
    await using qemu = await startBare();
    const path = directory.file('x');
    const reason = new Error('enough');
    const givenUp = async (): Promise<void> => {
      const controller = new AbortController();
      process.kill(qemu.pid, 'SIGSTOP');
      const opening = FdSet.open(qemu.qmp, {
        path,
        access: 'write',
        direct: true,
        signal: controller.signal,
      });
      setTimeout(() => {
        controller.abort(reason);
        process.kill(qemu.pid, 'SIGCONT');
      }, 100);
      t.is(await t.throwsAsync(opening), reason);
    };
    await assertNoLeak(t, givenUp, async () => {
      await givenUp();
      const missing = { path: directory.file('missing/x'), access: 'write', direct: false } as const;
      const error = await t.throwsAsync(FdSet.open(qemu.qmp, missing), { code: 'ERR_MAPPED_RAM_IO' });
      t.like(error, { path: missing.path, cause: { code: 'ENOENT' } });
      // procfs has no O_DIRECT.
      const procfs = { path: '/proc/self/status', access: 'read', direct: true } as const;
      await t.throwsAsync(FdSet.open(qemu.qmp, procfs), { code: 'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE' });
      await t.throwsAsync(FdSet.of(qemu.qmp, []), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
    });
    t.deepEqual(await qemu.qmp.execute('query-fdsets'), []);
    t.deepEqual(openIn(qemu.pid, path), []);
  },
);

qemuTest('closing a set twice, or after QEMU is gone, does no harm', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startBare();
  const options = { path: directory.file('x'), access: 'write', direct: false } as const;
  const first = await FdSet.open(qemu.qmp, options);
  await first.close();
  const second = await FdSet.open(qemu.qmp, options);
  // QEMU gives the number out again: the first set must not take the second away.
  t.is(second.id, first.id);
  await first.close();
  t.is((await qemu.qmp.execute('query-fdsets')).length, 1);
  await qemu.close();
  await t.notThrowsAsync(second.close());
});

qemuTest('a load through a set without the descriptor it needs fails cleanly', async (t) => {
  await using directory = await temporaryDirectory();
  const path = directory.file('snapshot');
  await using source = await startGuest();
  await source.stop();
  await saveTo(source.qmp, `file:${path}`);
  await using clone = await startGuest({ incoming: true });
  const handle = await open(path, constants.O_RDWR);
  await using set = await FdSet.of(clone.qmp, [handle.fd]);
  await handle.close();
  await t.throwsAsync(migrateIn(clone.qmp, `file:${set.filename}`), { code: 'ERR_MAPPED_RAM_QEMU' });
});
