import { readFile, stat, writeFile } from 'node:fs/promises';

import { loadFrom, saveTo } from '../support/plain-migration.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const refusal = { code: 'ERR_MAPPED_RAM_QEMU' };
/** A bandwidth that leaves the test time to act during a save. */
const SLOW = { maxBandwidth: 1024 * 1024 };

qemuTest(
  'a save that QEMU refuses or cannot finish rejects with its words, and the guest goes on',
  async (t) => {
    await using directory = await temporaryDirectory();
    await using guest = await startGuest();
    await guest.waitForGenerations(1);
    for (const [uri, words] of [
      [`file:${directory.file('missing/snapshot')}`, /No such file or directory/],
      ['file:/dev/full', /Invalid argument/],
    ] as const) {
      await t.throwsAsync(saveTo(guest.qmp, uri), { ...refusal, message: words }, uri);
    }
    // Texts that are no URIs never reach QEMU, which some of them would kill.
    for (const text of ['nonsense:', 'rdma:nonsense', 'rdma:']) {
      await t.throwsAsync(saveTo(guest.qmp, text), { code: 'ERR_MAPPED_RAM_INVALID_URI' }, text);
    }
    await guest.assertAlive();
    const info = await saveTo(guest.qmp, `file:${directory.file('snapshot')}`);
    t.is(info.status, 'completed');
  },
);

qemuTest('a save tells on the way how far it is', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  await guest.stop();
  const seen: string[] = [];
  await saveTo(guest.qmp, `file:${directory.file('snapshot')}`, {
    onStatus: ({ status }) => seen.push(status),
  });
  t.is(seen.at(-1), 'completed');
  t.true(seen.includes('active'), seen.join());
});

qemuTest('a save can be made twice, the guest running in between', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  for (const name of ['one', 'two', 'three']) {
    await saveTo(guest.qmp, `file:${directory.file(name)}`);
    t.is(await guest.runState(), 'postmigrate');
    await guest.assertAlive();
  }
});

qemuTest('an aborted save is cancelled, and the guest goes on', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const reason = new Error('enough');
  const controller = new AbortController();
  const saving = saveTo(guest.qmp, `file:${directory.file('snapshot')}`, {
    ...SLOW,
    signal: controller.signal,
    onStatus: ({ status }) => {
      if (status === 'active') controller.abort(reason);
    },
  });
  t.is(await t.throwsAsync(saving), reason);
  t.like(await guest.qmp.execute('query-migrate'), { status: 'cancelled' });
  await guest.assertAlive();
  t.is((await saveTo(guest.qmp, `file:${directory.file('again')}`)).status, 'completed');
});

qemuTest('a save that takes too long is cancelled', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const saving = saveTo(guest.qmp, `file:${directory.file('snapshot')}`, { ...SLOW, timeoutMs: 200 });
  await t.throwsAsync(saving, { code: 'ERR_MAPPED_RAM_TIMEOUT', message: /not done in time/ });
  t.like(await guest.qmp.execute('query-migrate'), { status: 'cancelled' });
  await guest.assertAlive();
});

qemuTest('the death of QEMU is never a successful save', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const saving = saveTo(guest.qmp, `file:${directory.file('snapshot')}`, {
    ...SLOW,
    onStatus: ({ status }) => {
      if (status === 'active') process.kill(guest.qemu.pid, 'SIGKILL');
    },
  });
  await t.throwsAsync(saving, { ...refusal, message: /killed by SIGKILL/ });
});

qemuTest('a load of what is no snapshot rejects with the words of QEMU', async (t) => {
  await using directory = await temporaryDirectory();
  const path = directory.file('snapshot');
  await writeFile(path, Buffer.alloc(1024 * 1024, 0x5a));
  for (const [uri, words] of [
    // QEMU names the fault of the contents on stderr only.
    [`file:${path}`, /load of migration failed.*Not a migration stream/s],
    [`file:${directory.file('missing')}`, /No such file or directory/],
  ] as const) {
    await using guest = await startGuest({ incoming: true });
    await t.throwsAsync(loadFrom(guest.qmp, uri), { ...refusal, message: words });
    t.is(await guest.runState(), 'inmigrate');
  }
});

qemuTest('a plain stream can be saved and loaded too', async (t) => {
  await using directory = await temporaryDirectory();
  const uri = `file:${directory.file('stream')}`;
  await using source = await startGuest();
  await source.waitForGenerations(1);
  await source.stop();
  await saveTo(source.qmp, uri, { mappedRam: false });
  t.false((await readFile(directory.file('stream'))).includes('mapped-ram'));
  await using clone = await startGuest({ incoming: true });
  await loadFrom(clone.qmp, uri, { mappedRam: false });
  t.deepEqual(await clone.checkMemory(), await source.checkMemory());
  await clone.assertAlive();
});

qemuTest('a shared file stays out of the stream with x-ignore-shared', async (t) => {
  await using directory = await temporaryDirectory();
  const uri = `file:${directory.file('stream')}`;
  const shared = { backend: 'file', share: true, memPathDir: directory.path } as const;
  const options = { mappedRam: false, xIgnoreShared: true };
  await using source = await startGuest(shared);
  await source.waitForGenerations(1);
  const saved = await source.checkMemory();
  await saveTo(source.qmp, uri, options);
  t.true((await stat(directory.file('stream'))).size < 4 * 1024 * 1024);
  await source.close();
  await using clone = await startGuest({ ...shared, incoming: true });
  await loadFrom(clone.qmp, uri, options);
  t.deepEqual(await clone.checkMemory(), saved);
  await clone.assertAlive();
});
