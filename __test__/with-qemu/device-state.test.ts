import { truncate, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { DeviceState, withDeviceState } from '../../ts/qemu/state/device-state.ts';
import { queryDeviceStateFacts } from '../../ts/qemu/state/device-state-facts.ts';
import { queryLiveState } from '../../ts/qemu/state/live-state.ts';
import { queryMachineIdentity } from '../../ts/qemu/state/machine-identity.ts';
import { queryRamBlocks } from '../../ts/qemu/memory/query-ram-blocks.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { type ByteRange, bytesReader, readStreamIndex, type StreamIndex } from '../../ts/stream/index.ts';
import { splitFullSections } from '../../ts/stream/read/split-full-sections.ts';
import { composeState, streamMachine } from '../../ts/stream/write/compose-state.ts';
import { OpenFile } from '../support/open-reader.ts';
import { saveTo } from '../support/plain-migration.ts';
import { QmpPeer } from '../support/qmp-peer.ts';
import { startGuest } from '../support/qemu.ts';
import {
  aarch64Test,
  QEMU_AARCH64_BINARY,
  QEMU_BINARY,
  qemuTest,
  targetTest,
} from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { AARCH64_SETUPS, X86_SETUPS } from './devices-setups.ts';

const MIB = 1024 * 1024;
/** The guest's clock stands still with the guest: by the host's, two saves of one guest differ. */
const QUIET = ['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-rtc', 'clock=vm'];

for (const { title, args } of X86_SETUPS) {
  qemuTest(`${title}: device state alone becomes what a migration writes`, (t) =>
    assertAsMigrated(t, QEMU_BINARY, args),
  );
}
for (const { title, args } of AARCH64_SETUPS) {
  aarch64Test(`${title}: device state alone becomes what a migration writes`, (t) =>
    assertAsMigrated(t, QEMU_AARCH64_BINARY, args),
  );
}

for (const machine of ['q35', 'pc']) {
  qemuTest(
    `${machine}: device state alone of a guest that ran becomes what a migration writes`,
    async (t) => {
      await using dir = await temporaryDirectory();
      const extraArgs = [
        '-rtc',
        'clock=vm',
        '-device',
        'e1000e',
        '-device',
        'qemu-xhci',
        '-device',
        'vmgenid',
      ];
      await using guest = await startGuest({ machine, memoryMiB: 64, defaults: true, extraArgs });
      await guest.waitForGenerations(2);
      await guest.stop();
      await assertSameAsMigrated(t, guest.qmp, dir, 'paused');
      await guest.assertAlive();
    },
  );
}

/** Does so with a guest that never ran. */
async function assertAsMigrated(t: ExecutionContext, binary: string, args: readonly string[]): Promise<void> {
  await using dir = await temporaryDirectory();
  for (let index = 0; index < 6; index += 1) await image(dir.file(`disk${index}`), 4 * MIB);
  for (const flash of ['flash0', 'flash1']) await image(dir.file(flash), 64 * MIB);
  const own = args.map((arg) => arg.replaceAll('DIR', dir.path));
  await using qemu = await QemuProcess.start({ binary, args: [...QUIET, '-S', '-m', '64', ...own] });
  t.deepEqual(await queryLiveState(qemu.qmp), []);
  await assertSameAsMigrated(t, qemu.qmp, dir, 'prelaunch');
  await qemu.quit();
}

/**
 * Takes the device state of a guest that stands still, then lets QEMU migrate it into a file, and compares. The composed
 * stream has to be that file without its pages.
 */
async function assertSameAsMigrated(
  t: ExecutionContext,
  qmp: QmpClient,
  dir: TemporaryDirectory,
  runState: string,
): Promise<void> {
  const state = await takeDeviceState(qmp);
  const machine = await queryMachineIdentity(qmp);
  const rows = await queryRamBlocks(qmp);
  t.is((await qmp.execute('query-status')).status, runState);
  const blocks = (rows ?? []).map(({ id, usedLength: length }) => ({ id, length }));

  const migrated = await migratedStream(qmp, dir);
  const { index } = migrated;
  t.deepEqual(
    blocks,
    index.ram?.blocks.map(({ id, length }) => ({ id, length })),
  );
  const sections = await splitFullSections(bytesReader(state));
  for (const base of [undefined, index]) {
    const known = streamMachine({ ...(machine ?? { machine: '', target: '' }), base });
    t.deepEqual(known.configuration, index.configuration);
    t.is(index.ram?.targetPageSize, known.targetPageSize);
    const { pieces } = await composeState(bytesReader(state), {
      ...known,
      sections,
      blocks,
      base,
      runState: { before: runState, stopped: runState },
    });
    const composed = Buffer.concat(
      pieces.map(
        ({ bytes, source }) => bytes ?? state.subarray(source.offset, source.offset + source.length),
      ),
    );
    const ours = await readStreamIndex(bytesReader(composed));
    t.is(ours.problem, undefined);
    // Byte for byte, in QEMU's order: early sections, then the others; the run state last.
    t.deepEqual(
      ours.sections.map((section) => `${section.idstr}/${section.instanceId} ${bytesOf(composed, section)}`),
      index.sections.map(
        (section) => `${section.idstr}/${section.instanceId} ${bytesOf(migrated.bytes, section)}`,
      ),
    );
    const described = ours.vmdescription?.json;
    t.is(described?.page_size, index.vmdescription?.json?.page_size);
    t.deepEqual(described?.configuration, index.vmdescription?.json?.configuration);
    if (base !== undefined) t.deepEqual(described?.devices, index.vmdescription?.json?.devices);
  }
}

function bytesOf(source: Uint8Array, { offset, length }: ByteRange): string {
  return Buffer.from(source.subarray(offset, offset + length)).toString('hex');
}

async function migratedStream(
  qmp: QmpClient,
  dir: TemporaryDirectory,
): Promise<{ readonly index: StreamIndex; readonly bytes: Uint8Array }> {
  const path = dir.file('migrated');
  await saveTo(qmp, `file:${path}`, { mappedRam: false });
  await using file = await OpenFile.open(path);
  const bytes = await file.read(0, file.size);
  return { bytes, index: await readStreamIndex(bytesReader(bytes)) };
}

async function takeDeviceState(qmp: QmpClient): Promise<Uint8Array> {
  const bytes = await withDeviceState(qmp, {}, (reader) => reader.read(0, reader.size));
  return Uint8Array.from(bytes);
}

async function image(path: string, size: number): Promise<void> {
  await writeFile(path, '');
  await truncate(path, size);
}

for (const machine of ['q35', 'pc']) {
  qemuTest(
    `${machine}: device state is taken of a guest that stands still, which then goes on`,
    async (t) => {
      await using guest = await startGuest({ machine });
      await guest.waitForGenerations(1);
      const { qmp } = guest;
      await using state = await DeviceState.ready(qmp);
      await guest.stop();
      const reader = await state.write();
      t.is(await guest.runState(), 'paused');
      await state.takeBack();
      t.deepEqual(await qmp.execute('query-fdsets'), []);
      await guest.cont();
      // The state stays readable while the guest goes on.
      const sections = await splitFullSections(reader);
      t.is(sections.at(-1)?.idstr, 'globalstate');
      t.true(sections.length > 10);
      await guest.assertAlive();
    },
  );
}

/** Devices of which QEMU says that it cannot save them. */
const UNSAVABLE = ['-object', 'cryptodev-backend-builtin,id=crypto'];
const CRYPTO = { driver: 'virtio-crypto-pci', cryptodev: 'crypto', id: 'vc' };

qemuTest(
  'device state with a device that QEMU cannot save is refused in words, and QEMU lives on',
  async (t) => {
    const args = [...QUIET, '-machine', 'q35', ...UNSAVABLE, '-device', 'virtio-crypto-pci,cryptodev=crypto'];
    await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
    const error = await t.throwsAsync(withDeviceState(qemu.qmp, {}, async () => undefined));
    t.like(error, { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
    t.regex(error?.message ?? '', /virtio-crypto/);
    t.deepEqual(await qemu.qmp.execute('query-fdsets'), []);
    t.is((await qemu.qmp.execute('query-status')).status, 'running');
    await qemu.quit();
  },
);

qemuTest(
  'a device that is plugged in after everything was made ready is noticed before QEMU writes',
  async (t) => {
    const args = [...QUIET, '-machine', 'pc', ...UNSAVABLE];
    await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
    const { qmp } = qemu;
    {
      await using state = await DeviceState.ready(qmp);
      await qmp.execute('device_add', CRYPTO);
      const error = await t.throwsAsync(state.write());
      t.like(error, { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
      t.regex(error?.message ?? '', /virtio-crypto/);
    }
    t.deepEqual(await qmp.execute('query-fdsets'), []);
    t.is((await qmp.execute('query-status')).status, 'running');
    await qemu.quit();
  },
);

qemuTest('a file that QEMU cannot write to any more is an error in words', async (t) => {
  await using guest = await startGuest({});
  const { qmp } = guest;
  await guest.stop();
  {
    await using state = await DeviceState.ready(qmp);
    for (const set of await qmp.execute('query-fdsets'))
      await qmp.execute('remove-fd', { 'fdset-id': set['fdset-id'] });
    const error = await t.throwsAsync(state.write());
    t.like(error, { code: 'ERR_MAPPED_RAM_QEMU' });
    t.regex(error?.message ?? '', /QEMU does not write its device state/);
    t.is(await guest.runState(), 'paused');
  }
  await guest.assertAlive();
});

qemuTest('a signal that ends the wait leaves QEMU no descriptor', async (t) => {
  await using guest = await startGuest({});
  const { qmp } = guest;
  await guest.stop();
  const reason = new Error('enough');
  for (const when of ['ready', 'write'] as const) {
    const given = new AbortController();
    const { signal } = given;
    const execute = qmp.execute.bind(qmp);
    const last = when === 'ready' ? 'add-fd' : 'xen-save-devices-state';
    const spied: typeof execute = (command, ...rest) => {
      if (command === last) setImmediate(() => given.abort(reason));
      return execute(command, ...rest);
    };
    qmp.execute = spied;
    // An answer may be faster than the signal.
    await withDeviceState(qmp, { signal }, async () => undefined).catch((error: unknown) =>
      t.is(error, reason),
    );
    qmp.execute = execute;
    t.deepEqual(await qmp.execute('query-fdsets'), [], when);
  }
  await guest.assertAlive();
});

qemuTest('QEMU names its machine as its streams do', async (t) => {
  for (const [machine, name] of [
    ['q35', /^pc-q35-\d+\.\d+$/],
    ['pc', /^pc-i440fx-\d+\.\d+$/],
    ['microvm', /^microvm$/],
    ['none', /^none$/],
  ] as const) {
    await using qemu = await QemuProcess.start({
      binary: QEMU_BINARY,
      args: [...QUIET, '-S', '-M', machine],
    });
    const found = await queryMachineIdentity(qemu.qmp);
    t.is(found?.target, 'x86_64');
    t.regex(found?.machine ?? '', name);
    await qemu.quit();
  }
});

/** Machines with state that QEMU saves in several parts, with the option that makes it so. */
const LIVE = [
  ['ppc64', ['-machine', 'pseries', '-m', '256M', '-S'], 'hash-table'],
  ['s390x', ['-machine', 's390-ccw-virtio', '-m', '64M', '-S'], 'storage-attributes'],
] as const;

for (const [target, options, kind] of LIVE) {
  targetTest(target, `live state that device state leaves out is named: ${target}`, async (t) => {
    const binary = `qemu-system-${target}`;
    await using qemu = await QemuProcess.start({ binary, args: [...QUIET.slice(0, 4), ...options] });
    t.deepEqual(
      (await queryLiveState(qemu.qmp))?.map((state) => state.kind),
      [kind],
    );
    await qemu.quit();
  });
}

qemuTest('the capability dirty-bitmaps is live state, and off it is none', async (t) => {
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: [...QUIET, '-S', '-M', 'q35'] });
  const { qmp } = qemu;
  t.deepEqual(await queryLiveState(qmp), []);
  const capabilities = [{ capability: 'dirty-bitmaps', state: true }] as const;
  await qmp.execute('migrate-set-capabilities', { capabilities });
  t.like((await queryLiveState(qmp))?.[0], { kind: 'dirty-bitmaps' });
  await qemu.quit();
});

qemuTest('what QEMU does not tell is not known', async (t) => {
  const peer = new QmpPeer();
  await using qmp = await QmpClient.connect(peer.stream);
  const refusal = t.throwsAsync(DeviceState.ready(qmp), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /no command xen-save-devices-state/,
  });
  await answer(peer, 0, 2, { 'query-commands': [{ name: 'query-yank' }], 'query-migrate': {} });
  await refusal;
  const old = t.throwsAsync(DeviceState.ready(qmp), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /older than 6\.0/,
  });
  await answer(peer, 2, 2, { 'query-commands': [{ name: 'xen-save-devices-state' }], 'query-migrate': {} });
  await old;
  const live = queryLiveState(qmp);
  await answer(peer, 4, 6, {});
  t.is(await live, undefined);
  const machine = queryMachineIdentity(qmp);
  await answer(peer, 10, 2, {});
  t.is(await machine, undefined);
});

/** Plays a QEMU that answers these commands and refuses all others. */
async function answer(
  peer: QmpPeer,
  from: number,
  count: number,
  answers: Readonly<Record<string, unknown>>,
): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    const { id, execute } = await peer.command(index);
    const found = typeof execute === 'string' ? answers[execute] : undefined;
    const error = { class: 'CommandNotFound', desc: 'no' };
    peer.say(`${JSON.stringify(found === undefined ? { error, id } : { return: found, id })}\n`);
  }
}

qemuTest('QEMU tells of devices that it cannot save', async (t) => {
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: [...QUIET, '-S', '-M', 'q35'] });
  t.deepEqual(await queryDeviceStateFacts(qemu.qmp), {
    hasCommand: true,
    tellsDevices: true,
    blockedReasons: [],
  });
  await qemu.quit();
});
