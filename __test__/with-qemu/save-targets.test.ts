import { constants } from 'node:fs';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';

import { deferred } from '../../ts/host/deferred.ts';
import { addFd, removeFd } from '../../ts/qemu/descriptors.ts';
import { migrateIn } from '../../ts/qemu/migration.ts';
import { loadFrom } from '../support/plain-migration.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { save } from '../../ts/save/save.ts';
import { probe } from '../../ts/engine/probe.ts';
import { freePort } from '../support/free-port.ts';
import { startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';
import { restoreGuest } from '../support/restored-guest.ts';

qemuTest('a plain stream in a file is checked and published like a snapshot', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('stream');
  await using guest = await startGuest({ backend: 'file', share: true });
  await guest.waitForGenerations(2);
  const saved = await save(guest.qmp, path, { mappedRam: 'off' });
  t.like(saved, {
    path,
    writer: 'qemu',
    format: 'stream',
    verified: true,
    warnings: [],
    runState: 'running',
  });
  t.is(saved.plan.writer.rule, 'engine-writes-mapped-ram');
  t.is(saved.size, (await readFile(path)).length);
  t.true(saved.blocks.some(({ id }) => id === 'm0'));
  t.deepEqual(await readdir(dir.path), ['stream']);
  await guest.assertAlive();
  await using clone = await startGuest({ backend: 'ram', incoming: true });
  await loadFrom(clone.qmp, `file:${path}`, { mappedRam: false });
  await clone.assertAlive();
});

qemuTest('a plain stream goes through a command that QEMU starts', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('stream');
  await using guest = await startGuest();
  await guest.waitForGenerations(2);
  const before = await settings(guest.qmp);
  const saved = await save(guest.qmp, `exec:cat > '${path}'`, { mappedRam: 'off' });
  t.like(saved, { path: undefined, size: undefined, verified: false, format: 'stream', runState: 'running' });
  t.deepEqual(await settings(guest.qmp), before);
  await guest.assertAlive();
  await using clone = await startGuest({ incoming: true });
  await loadFrom(clone.qmp, `exec:cat '${path}'`, { mappedRam: false });
  await clone.assertAlive();
});

qemuTest('a guest moves to a QEMU that waits for it at a socket', async (t) => {
  await using dir = await temporaryDirectory();
  const uri = `unix:${dir.file('socket')}`;
  await using guest = await startGuest();
  await using next = await startGuest({ incoming: true });
  await guest.waitForGenerations(3);
  const listening = deferred<void>();
  const moving = migrateIn(next.qmp, uri, { onStatus: () => listening.resolve() });
  await Promise.race([listening.promise, moving]);
  const saved = await save(guest.qmp, uri, { mappedRam: 'off', after: 'stop' });
  await moving;
  t.like(saved, { path: undefined, verified: false, writer: 'qemu', runState: 'postmigrate' });
  const left = await guest.checkMemory();
  t.deepEqual(await next.checkMemory(), left);
  const { generation } = await next.assertAlive();
  t.true(generation > left.generation);
});

for (const direct of [false, true]) {
  const descriptors = direct ? 'two descriptors, one with O_DIRECT' : 'one descriptor';
  qemuTest(`a set of the caller's is written to and stays the caller's: ${descriptors}`, async (t) => {
    await using dir = await temporaryDirectory();
    if (direct && !probe(dir.path).usesDirectIo) return t.log('no direct I/O here');
    const path = dir.file('container');
    await writeFile(path, 'X'.repeat(4096));
    await using guest = await startGuest();
    await guest.waitForGenerations(2);
    const fdset = await giveFds(guest, path, direct);
    const saved = await save(guest.qmp, `file:/dev/fdset/${fdset},offset=4096`, {
      directIo: direct ? 'on' : 'auto',
    });
    t.like(saved, { path: undefined, offset: 4096, verified: false, format: 'mapped-ram' });
    t.like(saved.plan, { directIo: { value: direct }, multifd: { value: true } });
    const [set, ...others] = await guest.qmp.execute('query-fdsets');
    t.deepEqual(others, []);
    t.is(set?.fds.length, direct ? 2 : 1);
    await removeFd(guest.qmp, fdset);
    t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
    await guest.assertAlive();
    await usesSnapshot(`file:${path},offset=4096`, {});
    t.is((await readFile(path)).subarray(0, 4100).toString(), `${'X'.repeat(4096)}QEVM`);
  });
}

qemuTest('a QEMU that is reached over TCP writes the file by its path', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  const port = await freePort();
  const setup = { backend: 'file', share: true } as const;
  await using guest = await startGuest({
    ...setup,
    extraArgs: ['-qmp', `tcp:127.0.0.1:${port},server=on,wait=off`],
  });
  await guest.waitForGenerations(2);
  await using qmp = await QmpClient.connect(`tcp:127.0.0.1:${port}`);
  const engine = await t.throwsAsync(save(qmp, path, { writer: 'engine' }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /nothing shows that QEMU is on this host/,
  });
  t.like(engine, { rule: { rule: 'engine-another-host' } });
  const saved = await save(qmp, path);
  t.like(saved, { path, writer: 'qemu', verified: true, runState: 'running' });
  t.like(saved.plan, { writer: { rule: 'engine-another-host' }, fdset: { value: false } });
  t.deepEqual(
    saved.warnings.map((words) => /trusted to mean the same file/.test(words)),
    [true],
  );
  await guest.assertAlive();
  await usesSnapshot(path, setup);
});

for (const writer of ['qemu', 'engine'] as const) {
  qemuTest(`${writer}: a client of a unix socket saves a guest that somebody else has started`, async (t) => {
    await using dir = await temporaryDirectory();
    const [path, socket] = [dir.file('guest.snapshot'), dir.file('qmp')];
    const setup = { backend: 'file', share: true } as const;
    await using guest = await startGuest({
      ...setup,
      extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`],
    });
    await guest.waitForGenerations(2);
    await using qmp = await QmpClient.connect(socket);
    t.like(await save(qmp, path, { writer }), { writer, verified: true, warnings: [], runState: 'running' });
    t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
    await guest.assertAlive();
    await usesSnapshot(path, setup);
  });
}

async function usesSnapshot(source: string, setup: Parameters<typeof restoreGuest>[1]): Promise<void> {
  await using clone = await restoreGuest(source, setup, {});
  await clone.assertAlive();
}

/** Opens a file for QEMU, as a management daemon would. @returns the fdset */
async function giveFds({ qmp }: TestGuest, path: string, direct: boolean): Promise<number> {
  await using buffered = await open(path, constants.O_WRONLY);
  const { fdsetId } = await addFd(qmp, buffered.fd);
  if (!direct) return fdsetId;
  await using unbuffered = await open(path, constants.O_WRONLY | constants.O_DIRECT);
  await addFd(qmp, unbuffered.fd, { fdset: fdsetId });
  return fdsetId;
}
