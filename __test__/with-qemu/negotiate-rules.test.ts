import { open, readFile, truncate, unlink, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { addFd, removeFd } from '../../ts/qemu/descriptors.ts';
import { migrateOut } from '../../ts/qemu/migration.ts';
import { loadFrom, saveTo } from '../support/plain-migration.ts';
import { negotiate } from '../../ts/negotiate/negotiate.ts';
import type { RestoreRequest, SaveRequest } from '../../ts/negotiate/request.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import type { RuleId } from '../../ts/negotiate/rules/rules.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { carryOut, run, setCapabilities, settings } from '../negotiate/carry-out.ts';
import { QEMU_BINARY, QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

/** A machine that was never started. QEMU can save it, and its memory is that of no guest. */
function startMachine(...args: readonly string[]): Promise<QemuProcess> {
  const machine = '-machine pc -m 32 -S -nodefaults -no-user-config -vga none -display none'.split(' ');
  return QemuProcess.start({ binary: QEMU_BINARY, args: [...machine, ...args] });
}

const startDestination = (): Promise<QemuProcess> => startMachine('-incoming', 'defer');

/** A save by a migration of QEMU's, which these rules are about. */
const save = (directory: TemporaryDirectory, request: Partial<SaveRequest> = {}): SaveRequest => ({
  direction: 'save',
  writer: 'qemu',
  target: directory.file('snapshot'),
  ...request,
});

const restore = (directory: TemporaryDirectory, request: Partial<RestoreRequest> = {}): RestoreRequest => ({
  direction: 'restore',
  target: directory.file('snapshot'),
  ...request,
});

async function assertRefused(
  t: ExecutionContext,
  qmp: QmpClient,
  request: SaveRequest | RestoreRequest,
  rule: RuleId,
  code = 'ERR_MAPPED_RAM_UNSUPPORTED',
): Promise<void> {
  const error = await t.throwsAsync<Error>(negotiate(qmp, request), { code }, rule);
  t.like(error, { rule: { rule } }, error.message);
}

/** Asserts that the file is complete, and that not all of its memory is zero. */
async function assertSaved(t: ExecutionContext, directory: TemporaryDirectory): Promise<void> {
  await using snapshot = await Snapshot.open(directory.file('snapshot'));
  const { complete, warnings } = await snapshot.info();
  t.true(complete);
  t.deepEqual(warnings, []);
}

interface Setting {
  readonly rules: readonly RuleId[];
  readonly capabilities?: readonly string[];
  readonly parameters?: Readonly<Record<string, string | number>>;
  /** QEMU's error with this setting, without a plan. Undefined when QEMU saves well. */
  readonly alone?: RegExp | undefined;
}

/** Settings that another client may have left in QEMU, and the end of a save with each. */
const SETTINGS: Readonly<Record<string, Setting>> = {
  'return-path': { rules: ['return-path'], capabilities: ['return-path'], alone: /Bad file descriptor/ },
  'switchover-ack': {
    rules: ['return-path', 'switchover-ack'],
    capabilities: ['return-path', 'switchover-ack'],
    alone: /Bad file descriptor/,
  },
  xbzrle: { rules: ['xbzrle'], capabilities: ['xbzrle'], alone: /incompatible with xbzrle/ },
  'postcopy-ram': {
    rules: ['postcopy-ram', 'postcopy-preempt'],
    capabilities: ['postcopy-ram', 'postcopy-preempt'],
    alone: QEMU_VERSION[0] < 11 ? /incompatible with postcopy/ : undefined,
  },
  'multifd-compression': {
    rules: ['compression-trap'],
    parameters: { 'multifd-compression': 'zlib' },
    alone: /non-compressed/,
  },
  'tls-creds': { rules: ['tls'], parameters: { 'tls-creds': 'mine' }, alone: /non-TLS/ },
  'zero-copy-send without multifd': {
    rules: ['zero-copy-send'],
    capabilities: ['multifd', 'zero-copy-send'],
    alone: /Zero copy/,
  },
  // QEMU 11 takes x-colo only together with return-path.
  'x-colo': { rules: ['return-path', 'x-colo'], capabilities: ['return-path', 'x-colo'] },
  'cpr-reboot': { rules: ['cpr-mode'], parameters: { mode: 'cpr-reboot' } },
};

for (const [name, { rules, capabilities = [], parameters = {}, alone }] of Object.entries(SETTINGS)) {
  qemuTest(`${name}, set by somebody else, is put aside for a save and then put back`, async (t) => {
    await using directory = await temporaryDirectory();
    await using qemu = await startMachine();
    const { qmp } = qemu;
    const disturb = async (): Promise<unknown> => {
      if (capabilities.length > 0) await setCapabilities(qmp, ...capabilities);
      await qmp.execute('migrate-set-parameters', parameters);
      return settings(qmp);
    };
    const before = await disturb();
    const plan = await run(qmp, save(directory, { multifd: name.startsWith('zero') ? 'off' : 'auto' }));
    for (const rule of rules)
      t.true(
        plan.notes.some((note) => note.rule === rule),
        rule,
      );
    await assertSaved(t, directory);
    t.deepEqual(await settings(qmp), before);

    if (alone === undefined) return;
    await using other = await startMachine();
    if (capabilities.length > 0) await setCapabilities(other.qmp, ...capabilities);
    await other.qmp.execute('migrate-set-parameters', parameters);
    const left = saveTo(other.qmp, `file:${directory.file('left-alone')}`);
    await t.throwsAsync(left, { code: 'ERR_MAPPED_RAM_QEMU', message: alone });
  });
}

qemuTest('QEMU that has been caught by the compression trap is led out, and back in', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  const { qmp } = qemu;
  await setCapabilities(qmp, 'mapped-ram', 'multifd');
  await qmp.execute('migrate-set-parameters', { 'multifd-compression': 'zlib' });
  for (const parameters of [{ 'max-bandwidth': 0 }, { 'multifd-compression': 'none' }]) {
    const setting = qmp.execute('migrate-set-parameters', parameters);
    await t.throwsAsync(setting, { message: /non-compressed/ });
  }
  const before = await settings(qmp);
  await run(qmp, save(directory));
  await assertSaved(t, directory);
  t.deepEqual(await settings(qmp), before);
});

qemuTest('a save is not held back by max-bandwidth, unless that is asked for', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  const plan = await negotiate(qemu.qmp, save(directory));
  t.like(plan.parameters, { 'max-bandwidth': 0 });
  t.regex(plan.notes.find(({ rule }) => rule === 'max-bandwidth')?.words ?? '', /134217728/);
  const asked = await negotiate(qemu.qmp, save(directory, { maxBandwidth: 1000 }));
  t.like(asked.parameters, { 'max-bandwidth': 1000 });
  t.false(asked.notes.some(({ rule }) => rule === 'max-bandwidth'));
});

qemuTest('x-ignore-shared does not go with mapped-ram before QEMU 11', async (t) => {
  await using directory = await temporaryDirectory();
  const ram = `memory-backend-file,id=m0,size=32M,share=on,mem-path=${directory.file('m0')}`;
  await using qemu = await startMachine('-object', ram, '-machine', 'memory-backend=m0');
  const { qmp } = qemu;
  if (QEMU_VERSION[0] >= 11) {
    t.like(await negotiate(qmp, save(directory, { writer: 'qemu', xIgnoreShared: 'on' })), {
      mappedRam: { value: true },
      xIgnoreShared: { value: true },
    });
    return;
  }
  await assertRefused(
    t,
    qmp,
    save(directory, { writer: 'qemu', xIgnoreShared: 'on', mappedRam: 'on' }),
    'x-ignore-shared-broken',
  );
  // The plan turns the capability off for the save when another client has left it on.
  await setCapabilities(qmp, 'x-ignore-shared');
  const before = await settings(qmp);
  const plan = await run(qmp, save(directory, { writer: 'qemu' }));
  t.true(plan.notes.some(({ rule }) => rule === 'x-ignore-shared-left-on'));
  await assertSaved(t, directory);
  t.deepEqual(await settings(qmp), before);

  await using other = await startMachine('-object', ram, '-machine', 'memory-backend=m0');
  const alone = saveTo(other.qmp, `file:${directory.file('alone')}`, { xIgnoreShared: true });
  await t.throwsAsync(alone, { code: 'ERR_MAPPED_RAM_QEMU', message: /Bad address/ });
});

qemuTest('what a stream with x-ignore-shared is read with follows from the file', async (t) => {
  await using directory = await temporaryDirectory();
  const request = save(directory, { writer: 'qemu', xIgnoreShared: 'on', mappedRam: 'off' });
  await using qemu = await startMachine();
  const saved = await run(qemu.qmp, request);
  t.deepEqual(
    saved.notes.map(({ rule }) => rule),
    ['shared-memory-left-out', 'max-bandwidth'],
  );
  await using destination = await startDestination();
  await assertRefused(
    t,
    destination.qmp,
    restore(directory, { xIgnoreShared: 'off' }),
    'file-ignores-shared',
  );
  await assertRefused(t, destination.qmp, restore(directory, { mappedRam: 'on' }), 'file-form');
  const plan = await run(destination.qmp, restore(directory));
  t.like(plan, { mappedRam: { value: false }, xIgnoreShared: { value: true } });
});

qemuTest('a set without O_DIRECT, at which QEMU would die, is used without direct I/O', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  const { qmp } = qemu;
  const file = await open(directory.file('snapshot'), 'w');
  const { fdsetId } = await addFd(qmp, file.fd);
  await file.close();
  const request = save(directory, { target: `file:/dev/fdset/${fdsetId}` });
  await assertRefused(t, qmp, { ...request, directIo: 'on' }, 'direct-io-fdset');
  const plan = await run(qmp, request);
  t.like(plan, { multifd: { value: true }, directIo: { value: false, rule: 'direct-io-fdset' } });
  await assertSaved(t, directory);
  await removeFd(qmp, fdsetId);
  await qmp.execute('cont');
  await assertRefused(t, qmp, request, 'fdset-missing');
  const both = await open(directory.file('snapshot'), 'r+');
  const wrong = await addFd(qmp, both.fd);
  await both.close();
  await assertRefused(
    t,
    qmp,
    save(directory, { target: `file:/dev/fdset/${wrong.fdsetId}` }),
    'fdset-access',
  );
});

qemuTest('direct-io without multifd is refused, for QEMU would ignore it', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  const { qmp } = qemu;
  const request = save(directory, { multifd: 'off', directIo: 'on' });
  await assertRefused(t, qmp, request, 'direct-io-needs-multifd');
  // QEMU does ignore direct-io: it would die of this set with direct-io in force.
  const file = await open(directory.file('snapshot'), 'w');
  const { fdsetId } = await addFd(qmp, file.fd);
  await file.close();
  await saveTo(qmp, `file:/dev/fdset/${fdsetId}`, { directIo: true });
  await assertSaved(t, directory);
});

qemuTest('mapped-ram goes to files only, and so does several channels to a plain stream', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  const { qmp } = qemu;
  for (const target of ['exec:cat > /dev/null', 'fd:x', `unix:${directory.file('s')}`]) {
    await assertRefused(t, qmp, save(directory, { target }), 'mapped-ram-needs-file');
  }
  const refused = saveTo(qmp, 'exec:cat > /dev/null');
  await t.throwsAsync(refused, { code: 'ERR_MAPPED_RAM_QEMU', message: /requires seekable transport/ });
  const plain = save(directory, { mappedRam: 'off', multifd: 'on' });
  await assertRefused(t, qmp, plain, 'multifd-needs-mapped-ram');
  const left = saveTo(qmp, `file:${directory.file('x')}`, { mappedRam: false, multifd: true });
  await t.throwsAsync(left, { code: 'ERR_MAPPED_RAM_QEMU', message: /multi-channel URIs/ });
  await run(qmp, save(directory, { target: `exec:cat > ${directory.file('piped')}`, mappedRam: 'off' }));
  t.is((await readFile(directory.file('piped'))).subarray(0, 4).toString(), 'QEVM');
});

qemuTest('text that is no address never reaches QEMU, which it might kill', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  for (const target of [
    'rdma:',
    'rdma:x',
    'rdma:h:',
    'rdma:[::1:1',
    'rdma:[]:1',
    'tcp:x',
    'file:x,offset=0x20M',
  ]) {
    const planning = negotiate(qemu.qmp, save(directory, { target, mappedRam: 'off' }));
    await t.throwsAsync(planning, { code: 'ERR_MAPPED_RAM_INVALID_URI' }, target);
  }
  t.like(await qemu.qmp.execute('query-status'), { status: 'prelaunch' });
});

qemuTest('a save to what is no file is refused before QEMU tries', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  await assertRefused(t, qemu.qmp, save(directory, { target: '/dev/full' }), 'regular-file');
  await assertRefused(t, qemu.qmp, save(directory, { target: directory.path }), 'regular-file');
});

qemuTest('bytes before the offset survive, or the save is refused', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  await writeFile(directory.file('snapshot'), 'X'.repeat(10_000));
  const request = save(directory, { target: `file:${directory.file('snapshot')},offset=4096` });
  if (QEMU_VERSION[0] === 9 && QEMU_VERSION[1] === 0) {
    await assertRefused(t, qemu.qmp, request, 'offset-destroys-prefix');
    return;
  }
  await run(qemu.qmp, request);
  const bytes = await readFile(directory.file('snapshot'));
  t.is(bytes.subarray(0, 4100).toString(), `${'X'.repeat(4096)}QEVM`);
  await using destination = await startDestination();
  t.like(await run(destination.qmp, restore(directory, { target: request.target })), {
    target: { offset: 4096 },
  });
});

qemuTest('a guest that stands still since its last save has to go on first', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  const { qmp } = qemu;
  await qmp.execute('cont');
  await run(qmp, save(directory));
  await assertRefused(t, qmp, save(directory), 'postmigrate');
  const again = saveTo(qmp, `file:${directory.file('again')}`);
  await t.throwsAsync(again, { code: 'ERR_MAPPED_RAM_QEMU', message: /previous migration/ });
  await qmp.execute('cont');
  await run(qmp, save(directory));
});

qemuTest('nothing is planned while a migration is under way', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  const { qmp } = qemu;
  const plan = await negotiate(qmp, save(directory, { maxBandwidth: 4096, multifd: 'off' }));
  const controller = new AbortController();
  const reason = new Error('enough');
  const before = await settings(qmp);
  let planned: Promise<void> | undefined;
  const saving = carryOut(qmp, plan, {
    signal: controller.signal,
    onStatus: ({ status }) => {
      if (status !== 'active' || planned !== undefined) return;
      planned = assertRefused(t, qmp, save(directory), 'migration-running', 'ERR_MAPPED_RAM_BUSY').finally(
        () => {
          controller.abort(reason);
        },
      );
    },
  });
  t.is(await t.throwsAsync(saving), reason);
  await planned;
  t.not(planned, undefined);
  t.deepEqual(await settings(qmp), before);
});

qemuTest('a guest that QEMU cannot migrate is refused with QEMU’s reason', async (t) => {
  await using directory = await temporaryDirectory();
  const sound = ['-audiodev', 'none,id=sound', '-device', 'virtio-sound-pci,audiodev=sound'];
  await using qemu = await startMachine(...sound);
  const planning = negotiate(qemu.qmp, save(directory));
  const error = await t.throwsAsync<Error>(planning, { message: /cannot be saved: .*virtio-sound/ });
  t.like(error, { rule: { rule: 'blocked' } });
});

qemuTest('a restore takes a QEMU that waits for one, and never twice', async (t) => {
  await using directory = await temporaryDirectory();
  await using source = await startMachine();
  await run(source.qmp, save(directory));
  await assertRefused(t, source.qmp, restore(directory), 'not-incoming');
  await using destination = await startDestination();
  await assertRefused(t, destination.qmp, save(directory), 'only-incoming');
  const wrongWay = loadFrom(destination.qmp, `file:${directory.file('missing')}`);
  await t.throwsAsync(wrongWay, { code: 'ERR_MAPPED_RAM_QEMU' });
  await assertRefused(t, destination.qmp, restore(directory), 'incoming-once');
});

qemuTest('compression left on at the destination, which crashes loads, is put aside', async (t) => {
  await using directory = await temporaryDirectory();
  await using source = await startMachine();
  await run(source.qmp, save(directory));
  await using destination = await startDestination();
  await destination.qmp.execute('migrate-set-parameters', { 'multifd-compression': 'zlib' });
  await setCapabilities(destination.qmp, 'mapped-ram', 'multifd');
  const before = await settings(destination.qmp);
  const plan = await run(destination.qmp, restore(directory, { multifd: 'on' }));
  t.true(plan.notes.some(({ rule }) => rule === 'compression-trap'));
  t.deepEqual(await settings(destination.qmp), before);
});

qemuTest('what was set at the destination is so again after a restore that goes without it', async (t) => {
  await using directory = await temporaryDirectory();
  await using source = await startMachine();
  await run(source.qmp, save(directory));
  for (const set of [
    ['multifd', 'return-path'],
    ['postcopy-ram', 'postcopy-preempt', 'return-path'],
  ]) {
    await using destination = await startDestination();
    const { qmp } = destination;
    await setCapabilities(qmp, ...set);
    await qmp.execute('migrate-set-parameters', { 'direct-io': true, 'multifd-channels': 200 });
    const before = await settings(qmp);
    const plan = await run(qmp, restore(directory, { multifd: 'off' }));
    t.like(plan, { multifd: { value: false }, xIgnoreShared: { value: false }, directIo: { value: false } });
    t.deepEqual(await settings(qmp), before);
  }
});

qemuTest('a damaged file, which can kill QEMU, never reaches it', async (t) => {
  await using directory = await temporaryDirectory();
  await using source = await startMachine();
  await run(source.qmp, save(directory));
  const path = directory.file('snapshot');
  const whole = await readFile(path);
  const index = await (async () => {
    await using snapshot = await Snapshot.open(path);
    return snapshot.completeRam();
  })();
  const header = index.blocks[0]?.headerOffset ?? 0;
  await using destination = await startDestination();
  const { qmp } = destination;
  const refused = (): Promise<void> =>
    assertRefused(t, qmp, restore(directory), 'damaged-file', 'ERR_MAPPED_RAM_INCOMPLETE');
  for (const size of [
    (index.blocks[0]?.area.pagesOffset ?? 0) + 4096,
    whole.length / 2,
    index.startEnd ?? 0,
  ]) {
    await truncate(path, size);
    await refused();
    await writeFile(path, whole);
  }
  // The page size becomes 0, by which QEMU would divide.
  const zero = Buffer.from(whole);
  zero.fill(0, header + 4, header + 12);
  await writeFile(path, zero);
  await refused();
  await writeFile(path, 'no snapshot at all, but long enough to be one');
  await t.throwsAsync(negotiate(qmp, restore(directory)), { code: 'ERR_MAPPED_RAM_BAD_MAGIC' });
  await unlink(path);
  await t.throwsAsync(negotiate(qmp, restore(directory)), { code: 'ERR_MAPPED_RAM_IO' });

  // The plan cannot look into a given fdset, so QEMU must not load it unseen.
  await writeFile(path, whole);
  const file = await open(path, 'r');
  const { fdsetId } = await addFd(qmp, file.fd);
  await file.close();
  const target = `file:/dev/fdset/${fdsetId}`;
  await assertRefused(t, qmp, restore(directory, { target }), 'unseen-file');
  await using snapshot = await Snapshot.open(path);
  const plan = await run(qmp, restore(directory, { target, snapshot }));
  t.like(plan, { multifd: { value: true }, directIo: { value: false } });
  t.like(await qmp.execute('query-migrate'), { status: 'completed' });
});

qemuTest('a file without vmdescription is loaded with a warning', async (t) => {
  await using directory = await temporaryDirectory();
  await using source = await startMachine('-machine', 'suppress-vmdesc=on');
  await run(source.qmp, save(directory));
  await using destination = await startDestination();
  const plan = await run(destination.qmp, restore(directory));
  t.true(plan.notes.some(({ rule }) => rule === 'unmeasured-file'));
  t.like(await destination.qmp.execute('query-migrate'), { status: 'completed' });
});

qemuTest('background-snapshot, with which the bitmaps stay empty, is put aside', async (t) => {
  await using directory = await temporaryDirectory();
  const left = directory.file('left-alone');
  await using qemu = await startMachine();
  const { qmp } = qemu;
  const possible = await setCapabilities(qmp, 'background-snapshot').then(
    () => true,
    () => false,
  );
  if (!possible) {
    t.log('this host has no userfaultfd for it');
    return;
  }
  await qmp.execute('cont');
  // QEMU refuses multifd with background-snapshot, so only a save through one channel loses the memory unnoticed.
  await setCapabilities(qmp, 'mapped-ram');
  const before = await settings(qmp);
  await migrateOut(qmp, `file:${left}`);
  await using empty = await Snapshot.open(left);
  t.regex((await empty.info()).warnings.join(), /no page is set in any block/);
  await qmp.execute('cont');
  const plan = await run(qmp, save(directory));
  t.true(plan.notes.some(({ rule }) => rule === 'background-snapshot'));
  await assertSaved(t, directory);
  t.deepEqual(await settings(qmp), before);
});

qemuTest('a save does not wait for somebody to let it switch over', async (t) => {
  await using directory = await temporaryDirectory();
  await using qemu = await startMachine();
  await setCapabilities(qemu.qmp, 'pause-before-switchover');
  await qemu.qmp.execute('cont');
  const plan = await run(qemu.qmp, save(directory));
  t.true(plan.notes.some(({ rule }) => rule === 'pause-before-switchover'));
  await assertSaved(t, directory);
});
