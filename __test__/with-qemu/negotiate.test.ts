import { rename, unlink, writeFile } from 'node:fs/promises';

import { applyPlan } from '../../ts/negotiate/apply-plan.ts';
import { saveTo } from '../support/plain-migration.ts';
import { negotiate } from '../../ts/negotiate/negotiate.ts';
import type { SavePlan } from '../../ts/negotiate/plan.ts';
import type { SaveRequest } from '../../ts/negotiate/request.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { probe } from '../../ts/engine/probe.ts';
import { type GuestSetup, MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY, QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { carryOut, run, settings } from '../negotiate/carry-out.ts';

const SHARED: GuestSetup = { backend: 'file', share: true };

for (const [where, base] of [
  ['a disk', undefined],
  ['tmpfs', '/dev/shm'],
] as const) {
  qemuTest(`what is left on auto lets QEMU save and restore a guest on ${where}`, async (t) => {
    await using directory = await temporaryDirectory(base);
    const target = directory.file('snapshot');
    await using source = await startGuest({ numa: true });
    await source.waitForGenerations(2);
    const saved = await source.checkMemory();
    const before = await settings(source.qmp);
    const plan = await run(source.qmp, { direction: 'save', writer: 'qemu', target });
    t.like(plan, {
      writer: { value: 'qemu' },
      format: 'mapped-ram',
      mappedRam: { value: true },
      multifd: { value: true },
      directIo: { value: probe(directory.path).usesDirectIo },
      fdset: { value: true },
    });
    t.deepEqual(await settings(source.qmp), before);
    t.deepEqual(await source.qmp.execute('query-fdsets'), []);
    await source.assertAlive();

    await using clone = await startGuest({ numa: true, incoming: true });
    const untouched = await settings(clone.qmp);
    const restored = await run(clone.qmp, { direction: 'restore', target });
    t.like(restored, { mappedRam: { value: true }, multifd: { value: true }, fdset: { value: true } });
    t.deepEqual(await settings(clone.qmp), untouched);
    t.deepEqual(await clone.qmp.execute('query-fdsets'), []);
    t.deepEqual(await clone.checkMemory(), saved);
    await clone.assertAlive();
  });
}

const ASKED: Readonly<Record<string, Partial<SaveRequest>>> = {
  'one channel by path': { fdset: 'off', multifd: 'off' },
  'three channels by path with O_DIRECT': { fdset: 'off', channels: 3, directIo: 'on' },
  'all zero pages stored': { zeroPageDetection: 'none', directIo: 'off' },
  'a plain stream': { mappedRam: 'off' },
};

for (const [name, asked] of Object.entries(ASKED)) {
  qemuTest(`what was asked for is what happens: ${name}`, async (t) => {
    await using directory = await temporaryDirectory();
    const target = directory.file('snapshot');
    await using source = await startGuest();
    await source.waitForGenerations(1);
    const saved = await source.checkMemory();
    const info = await carryOut(
      source.qmp,
      await negotiate(source.qmp, { direction: 'save', writer: 'qemu', target, ...asked }),
    );
    if (asked.zeroPageDetection === 'none') t.is(info.ram?.zeroPages, 0);
    await using clone = await startGuest({ incoming: true });
    const { fdset, directIo } = asked;
    await run(clone.qmp, { direction: 'restore', target, fdset, directIo });
    t.deepEqual(await clone.checkMemory(), saved);
  });
}

const plan = (guest: TestGuest, target: string, request: Partial<SaveRequest> = {}): Promise<SavePlan> =>
  negotiate(guest.qmp, { direction: 'save', target, ...request });

qemuTest('the engine writes guests whose memory is in shared files, one block or two', async (t) => {
  await using directory = await temporaryDirectory();
  for (const [setup, ids] of [
    [SHARED, ['m0']],
    [{ ...SHARED, numa: true }, ['m0', 'm1']],
  ] as const) {
    await using guest = await startGuest(setup);
    const made = await plan(guest, directory.file('snapshot'), { xIgnoreShared: 'on' });
    t.like(made, {
      writer: { value: 'engine' },
      format: 'mapped-ram',
      mappedRam: { value: false },
      xIgnoreShared: { value: true },
      capabilities: { 'mapped-ram': false, 'x-ignore-shared': true },
    });
    t.deepEqual(
      made.engineBlocks.map(({ id, length, file }) => ({ id, length, file })),
      ids.map((id) => ({
        id,
        length: (128 / ids.length) * MIB,
        file: { path: `${guest.directory}/${id}.ram`, offset: 0, confirmed: true },
      })),
    );
    t.like(await plan(guest, directory.file('snapshot'), { writer: 'qemu' }), {
      writer: { value: 'qemu' },
      xIgnoreShared: { value: false },
      engineBlocks: [],
    });
    // QEMU's part goes as the plan says: its stream is small, and all settings are put back.
    const before = await settings(guest.qmp);
    await guest.stop();
    const info = await carryOut(guest.qmp, {
      ...made,
      target: { ...made.target, path: directory.file('state') },
    });
    t.true((info.ram?.transferredBytes ?? Number.POSITIVE_INFINITY) < 4 * MIB);
    t.deepEqual(await settings(guest.qmp), before);
  }
});

qemuTest('the engine does not write what it cannot reach, and says why', async (t) => {
  await using directory = await temporaryDirectory();
  const target = directory.file('snapshot');
  const refused = async (guest: TestGuest, rule: string, message: RegExp): Promise<void> => {
    // QEMU's process has it all the same.
    t.like(await plan(guest, target), { writer: { value: 'engine' }, stateOnly: { value: true } });
    const inFiles = plan(guest, target, { writer: 'engine', xIgnoreShared: 'on' });
    const error = await t.throwsAsync(inFiles, {
      code: 'ERR_MAPPED_RAM_UNSUPPORTED',
      message,
    });
    t.like(error, { rule: { rule } });
  };
  for (const [backend, message] of [
    ['ram', /m0 is not: memory-backend-ram has no file with a name/],
    ['memfd', /m0 is not: memory-backend-memfd has no file with a name/],
    ['file', /m0 is not: QEMU has a private copy of .*m0\.ram \(share=off\)/],
  ] as const) {
    await using guest = await startGuest({ backend, share: backend === 'memfd' });
    await refused(guest, 'engine-memory-private', message);
  }
  await using guest = await startGuest({ ...SHARED, memPathDir: directory.path });
  const file = directory.file('m0.ram');
  await rename(file, directory.file('moved'));
  await refused(guest, 'engine-memory-unreachable', /m0: .*m0\.ram cannot be seen here: ENOENT/);
  await writeFile(file, Buffer.alloc(128 * MIB));
  await refused(guest, 'engine-memory-unreachable', /another file here than the one QEMU uses/);
  await unlink(file);
  await writeFile(file, '');
  await refused(guest, 'engine-memory-unreachable', /is too small/);
  await rename(directory.file('moved'), file);
  t.like((await plan(guest, target)).writer, { value: 'engine' });
  const elsewhere = plan(guest, directory.file('missing/x'), { writer: 'engine' });
  t.like(await t.throwsAsync(elsewhere), { rule: { rule: 'engine-cannot-write' } });
});

qemuTest('the facts are those of this QEMU', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest({
    ...SHARED,
    memoryMiB: 64,
    region: { start: 16 * MIB, length: MIB },
  });
  const { qemu } = await plan(guest, directory.file('snapshot'));
  const [major, minor] = QEMU_VERSION;
  const since = (wanted: readonly [number, number]): boolean =>
    major > wanted[0] || (major === wanted[0] && minor >= wanted[1]);
  t.deepEqual(qemu.features, {
    mappedRam: true,
    multifd: true,
    xIgnoreShared: true,
    directIo: since([9, 1]),
    zeroPageDetection: true,
    fdsets: true,
    mappedRamIgnoresShared: since([11, 0]),
    fileTransport: true,
    mapsParts: true,
    ignoresNamedOnly: true,
  });
  t.like(qemu, { runState: 'running', migrationStatus: 'none', passesDescriptors: true, blockedReasons: [] });
  const blocks = await guest.ramBlocks();
  t.deepEqual(
    qemu.memory.map(({ id, length, maxLength }) => ({ id, length, maxLength })),
    blocks.map(({ id, usedLength, totalLength }) => ({ id, length: usedLength, maxLength: totalLength })),
  );
  t.is(qemu.memory.find(({ id }) => id === 'pc.bios')?.backend, undefined);
});

qemuTest('over TCP QEMU is given the path, and nothing is taken for granted', async (t) => {
  await using directory = await temporaryDirectory();
  const port = 40_000 + (process.pid % 20_000);
  const args = `-machine pc -m 32 -S -nodefaults -display none -qmp tcp:127.0.0.1:${port},server=on,wait=off`;
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: args.split(' ') });
  await using qmp = await QmpClient.connect(`127.0.0.1:${port}`);
  t.deepEqual(qmp.version, qemu.qmp.version);
  const request = { direction: 'save', target: directory.file('snapshot') } as const;
  const made = await run(qmp, request);
  t.like(made, {
    writer: { value: 'qemu', rule: 'engine-another-host' },
    fdset: { value: false, rule: 'fdset-connection' },
  });
  t.true(made.notes.some(({ rule }) => rule === 'another-host'));
  await qmp.execute('cont');
  const asked = negotiate(qmp, { ...request, fdset: 'on' });
  t.like(await t.throwsAsync(asked), { rule: { rule: 'fdset-connection' } });
});

qemuTest(
  'settings are put back when QEMU refuses one, and when the save fails or QEMU is gone',
  async (t) => {
    await using directory = await temporaryDirectory();
    await using guest = await startGuest();
    const { qmp } = guest;
    await saveTo(qmp, `file:${directory.file('one')}`, { multifd: true, channels: 3 });
    await guest.cont();
    const before = await settings(qmp);
    const good = await plan(guest, directory.file('two'), { writer: 'qemu' });
    // Capabilities come last, so the parameters have changed before QEMU refuses.
    const bad = { ...good, capabilities: { ...good.capabilities, 'no-such-capability': true } };
    await t.throwsAsync(applyPlan(qmp, bad), { code: 'ERR_MAPPED_RAM_QEMU' });
    t.deepEqual(await settings(qmp), before);

    const lost = { ...good, target: { ...good.target, path: directory.file('missing/two') } };
    await t.throwsAsync(carryOut(qmp, lost), { code: 'ERR_MAPPED_RAM_IO' });
    t.deepEqual(await settings(qmp), before);

    const applied = await applyPlan(qmp, good);
    t.notDeepEqual(await settings(qmp), before);
    await applied.putBack();
    t.deepEqual(await settings(qmp), before);
    // Settings that others change after `putBack` stay as they are.
    await qmp.execute('migrate-set-parameters', { 'multifd-channels': 9 });
    await applied.putBack();
    t.like(await qmp.execute('query-migrate-parameters'), { 'multifd-channels': 9 });

    const last = await applyPlan(qmp, good);
    await guest.qemu.close();
    await t.notThrowsAsync(last.putBack());
    await t.throwsAsync(applyPlan(qmp, good), { code: 'ERR_MAPPED_RAM_CLOSED' });
  },
);
