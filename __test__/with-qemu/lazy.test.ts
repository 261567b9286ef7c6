import { existsSync } from 'node:fs';
import { readdir, truncate, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { attach, QmpClient, save, Snapshot } from '../../ts/index.ts';
import type { LazyProgress } from '../../ts/restore/postcopy/lazy-memory.ts';
import type { RestoreOptions } from '../../ts/restore/restore.ts';
import { withHugePages } from '../bench/ours/huge-page-pool.ts';
import { untilNoPageServer } from '../restore/lazy-servers.ts';
import { assertMemory } from '../save/captured-guest.ts';
import { KVM_REGION, kvmTest } from '../support/kvm-test.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { binaryOf, VERSIONS, type Version, versionsTest } from '../versions/qemus.ts';

const dir = await temporaryDirectory();
test.after.always(() => dir[Symbol.asyncDispose]());

const REGION = { start: 16 * MIB, length: 8 * MIB };
const Q35: GuestSetup = { memoryMiB: 128, region: REGION };

type Lazily = Omit<RestoreOptions, 'binary' | 'args' | 'mode'>;

async function snapshotOf(name: string, setup: GuestSetup): Promise<string> {
  const path = dir.file(name);
  if (existsSync(path)) return path;
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  await guest.stop();
  await save(guest.qmp, path, { writer: 'engine' });
  return path;
}

/** Restores twice: a guest that stands still, whose memory is compared byte by byte, and one that runs at once. */
async function assertLazily(
  t: ExecutionContext,
  path: string,
  setup: GuestSetup,
  options: Lazily = {},
): Promise<void> {
  const what = JSON.stringify(options);
  {
    await using guest = await restoreGuest(path, setup, { ...options, mode: 'lazy', after: 'stop' });
    t.is(guest.restored.runState, 'paused', what);
    const report = await guest.restored.memoryComplete;
    t.is(report?.takeOvers, 0, what);
    await assertMemory(t, guest, path, what);
    const before = await guest.checkMemory();
    t.true((await guest.assertAlive()).generation > before.generation, what);
  }
  await using guest = await restoreGuest(path, setup, { ...options, mode: 'lazy' });
  t.is(guest.restored.runState, 'running', what);
  await guest.waitForGenerations(2);
  const report = await guest.restored.memoryComplete;
  t.true((report?.requests ?? 0) > 0, what);
  t.deepEqual(guest.restored.memory?.progress().complete, true);
  await guest.assertAlive();
  // What was set in QEMU for this is as before, so that it can be saved.
  await save(guest.qmp, dir.file('again'), { overwrite: true });
}

const WAYS: readonly Lazily[] = [
  {},
  { postcopy: { preempt: false } },
  { postcopy: { push: 'gentle', server: 'caller' } },
  { postcopy: { server: 'caller', preempt: false, maxBandwidth: 256 * MIB } },
];

for (const options of WAYS) {
  qemuTest(`a guest runs at once, and its memory follows: ${JSON.stringify(options)}`, async (t) => {
    await assertLazily(t, await snapshotOf('q35.mr', Q35), Q35, options);
  });
}

const SETUPS: readonly (readonly [string, GuestSetup])[] = [
  ['i440fx, with the devices that QEMU adds', { ...Q35, machine: 'pc', defaults: true }],
  ['q35 with the devices that QEMU adds', { ...Q35, defaults: true }],
  ['two NUMA blocks', { memoryMiB: 128, numa: true }],
];
for (const [title, setup] of SETUPS) {
  qemuTest(`the memory follows: ${title}`, async (t) => {
    await assertLazily(t, await snapshotOf(`${title}.mr`, setup), setup);
  });
}

const KINDS = [
  ['anonymous', 'anonymous'],
  ['memfd', 'memfd'],
  ['a directory in /dev/shm', { path: '/dev/shm' }],
] as const;
for (const [title, memory] of KINDS) {
  qemuTest(`the guest gets the memory that is asked for: ${title}`, async (t) => {
    await assertLazily(t, await snapshotOf('q35.mr', Q35), Q35, { memory });
  });
}

qemuTest('the guest gets huge pages', async (t) => {
  const path = await snapshotOf('q35.mr', Q35);
  await withHugePages(t, 160, async () => {
    await assertLazily(t, path, Q35, { memory: 'hugepages' });
    await assertLazily(t, path, Q35, { memory: 'hugepages', postcopy: { preempt: false } });
  });
});

kvmTest('the memory follows under KVM', async (t) => {
  const setup: GuestSetup = { accel: 'kvm', region: KVM_REGION };
  const path = await snapshotOf('kvm.mr', setup);
  await using guest = await restoreGuest(path, setup, { mode: 'lazy' });
  await guest.waitForGenerations(2);
  t.truthy(await guest.restored.memoryComplete);
  await guest.assertAlive();
});

/** A machine that all versions have. */
const OLD: GuestSetup = { ...Q35, machine: 'pc-q35-5.2' };
for (const version of VERSIONS) {
  versionsTest(`QEMU ${version} runs a guest whose memory follows`, async (t) => {
    const path = await snapshotOf('old.mr', { ...OLD, binary: binaryOf('10.0') });
    await assertRestoresIn(t, version, path);
  });
}

async function assertRestoresIn(t: ExecutionContext, version: Version, path: string): Promise<void> {
  const setup = { ...OLD, binary: binaryOf(version) };
  await using guest = await restoreGuest(path, setup, { mode: 'lazy' });
  t.is(guest.restored.runState, 'running');
  await guest.waitForGenerations(2);
  await guest.restored.memoryComplete;
  await guest.assertAlive();
}

qemuTest('a guest that is served no page unasked works with what it touches', async (t) => {
  const path = await snapshotOf('q35.mr', Q35);
  await using guest = await restoreGuest(path, Q35, { mode: 'lazy', postcopy: { push: 'off' } });
  await guest.waitForGenerations(3);
  const progress = (): Partial<LazyProgress> => guest.restored.memory?.progress() ?? {};
  const arrived = (): number => progress().arrivedBytes ?? 0;
  // One page in eight of what the guest checks is zero. The server tells now and then how far it is.
  for (let tries = 0; tries < 250 && arrived() <= REGION.length / 2; tries += 1) await delay(20);
  const { contentBytes = 0 } = progress();
  t.false(progress().complete);
  t.true(arrived() > REGION.length / 2 && arrived() < contentBytes, `${arrived()} of ${contentBytes}`);
  await t.throwsAsync(save(guest.qmp, dir.file('early')), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /under way already \(postcopy-active\)/,
  });
  t.false((await readdir(dir.path)).includes('early'));
  await guest.stop();
  await guest.checkMemory();
  // A guest that is given up has no memory to wait for.
  const rest = guest.restored.memoryComplete;
  await guest.restored[Symbol.asyncDispose]();
  await t.throwsAsync(rest, { code: 'ERR_MAPPED_RAM_CLOSED' });
});

qemuTest('a QEMU that somebody else has started gets its memory so', async (t) => {
  const path = await snapshotOf('q35.mr', Q35);
  await using guest = await startGuest({ ...Q35, incoming: true });
  const attached = await attach(guest.qmp, path, { mode: 'lazy', after: 'stop' });
  t.is(attached.runState, 'paused');
  await attached.memoryComplete;
  await assertMemory(t, guest, path, 'attach');
  await guest.assertAlive();
});

qemuTest('memory that QEMU would have to empty is refused before QEMU starts', async (t) => {
  const path = await snapshotOf('q35.mr', Q35);
  await using shm = await temporaryDirectory('/dev/shm');
  await writeFile(shm.file('template'), Buffer.alloc(MIB, 1));
  await truncate(shm.file('template'), 128 * MIB);
  const backed = (file: string): GuestSetup => ({
    ...Q35,
    memoryArgs: [
      '-m',
      '128M',
      '-object',
      `memory-backend-file,id=pc.ram,size=128M,mem-path=${file},share=off`,
      '-machine',
      'memory-backend=pc.ram',
    ],
  });
  const marker = { binary: '/no/such/qemu' };
  for (const [file, message] of [
    [shm.file('template'), /holds something, and mode lazy would empty it/],
    [dir.path, /neither on tmpfs nor on hugetlbfs/],
  ] as const) {
    await t.throwsAsync(
      restoreGuest(path, { ...backed(file), ...marker }, { mode: 'lazy', memory: undefined }),
      {
        code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        message,
      },
    );
  }
  await using guest = await startGuest({ ...backed(shm.file('template')), incoming: true });
  await t.throwsAsync(attach(guest.qmp, path, { mode: 'lazy' }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /holds something/,
  });
});

qemuTest('one open snapshot serves several guests at once', async (t) => {
  await using snapshot = await Snapshot.open(await snapshotOf('q35.mr', Q35));
  await using first = await restoreGuest(snapshot, Q35, { mode: 'lazy', postcopy: {} });
  const [second, third] = await Promise.all([
    restoreGuest(snapshot, Q35, { mode: 'lazy' }),
    restoreGuest(snapshot, Q35, { mode: 'lazy', postcopy: {} }),
  ]);
  for (const guest of [first, second, third]) {
    await guest.restored.memoryComplete;
    await guest.assertAlive();
    await guest.close();
  }
  t.deepEqual(await untilNoPageServer(), []);
});

qemuTest('lazy restores leave no descriptor, thread or process', async (t) => {
  const path = await snapshotOf('q35.mr', Q35);
  const once = async (): Promise<void> => {
    for (const server of ['process', 'caller'] as const) {
      await using guest = await restoreGuest(path, Q35, { mode: 'lazy', postcopy: { server } });
      await guest.restored.memoryComplete;
      await using given = await restoreGuest(path, Q35, { mode: 'lazy', postcopy: { server, push: 'off' } });
      t.false(given.restored.memory?.progress().complete);
    }
  };
  await assertNoLeak(t, once, once);
});

qemuTest('QMP out of band is had by who asks for it', async (t) => {
  await using sockets = await temporaryDirectory();
  const path = sockets.file('qmp');
  await using guest = await startGuest({ extraArgs: ['-qmp', `unix:${path},server=on,wait=off`] });
  for (const oob of [true, false]) {
    await using qmp = await QmpClient.connect(path, { oob });
    await t.throwsAsync(qmp.execute('migrate-pause', undefined, { oob: true }), {
      code: 'ERR_MAPPED_RAM_QEMU',
    });
    t.is((await qmp.execute('query-status')).status, 'running');
    if (oob)
      await t.throwsAsync(qmp.execute('query-status', undefined, { oob: true }), {
        message: /does not support OOB/,
      });
  }
  await guest.stop();
});
