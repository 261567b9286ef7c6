import { readdir, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { deferred } from '../../ts/host/deferred.ts';
import { migrateOut } from '../../ts/qemu/migration.ts';
import type { RuleId } from '../../ts/negotiate/rules/rules.ts';
import type { SaveOptions } from '../../ts/save/save-options.ts';
import { save } from '../../ts/save/save.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { WAYS } from '../save/writers.ts';

interface Refusal {
  readonly rule: RuleId;
  readonly words: RegExp;
  readonly options: SaveOptions;
  /** The target in the test's directory. @default a new file there */
  readonly target?: (dir: TemporaryDirectory) => string;
  readonly code?: string;
}

/** Refusals for both writers. */
const ALWAYS: readonly Refusal[] = [
  {
    rule: 'mapped-ram-needs-file',
    words: /mapped-ram has to seek in a file, and exec: is a stream/,
    options: {},
    target: (dir) => `exec:cat > ${dir.file('piped')}`,
  },
  {
    rule: 'mapped-ram-needs-file',
    words: /and unix: is a stream/,
    options: {},
    target: (dir) => `unix:${dir.file('socket')}`,
  },
  {
    rule: 'regular-file',
    words: /no regular file/,
    options: { writer: 'qemu' },
    target: () => '/dev/full',
  },
  {
    rule: 'fdset-missing',
    words: /QEMU has no fd set 7/,
    options: {},
    target: () => 'file:/dev/fdset/7',
  },
  {
    rule: 'multifd-needs-mapped-ram',
    words: /several channels write to one file only with mapped-ram/,
    options: { mappedRam: 'off', multifd: 'on' },
  },
  {
    rule: 'channels-need-multifd',
    words: /3 channels of QEMU take multifd/,
    options: { writer: 'qemu', channels: 3, multifd: 'off' },
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  },
  {
    rule: 'direct-io-needs-multifd',
    words: /QEMU ignores direct-io without mapped-ram and multifd/,
    options: { writer: 'qemu', directIo: 'on', multifd: 'off' },
  },
  {
    rule: 'fdset-needs-file',
    words: /there is no file to open/,
    options: { mappedRam: 'off', fdset: 'on' },
    target: (dir) => `unix:${dir.file('socket')}`,
  },
];

/** Refusals of the engine for a guest whose memory it could write. */
const ENGINE: readonly Refusal[] = [
  {
    rule: 'engine-needs-file',
    words: /the engine writes to a file that it can open by name/,
    options: { writer: 'engine', mappedRam: 'off' },
    target: (dir) => `unix:${dir.file('socket')}`,
  },
  {
    rule: 'engine-writes-mapped-ram',
    words: /the engine writes mapped-ram files only/,
    options: { writer: 'engine', mappedRam: 'off' },
  },
  {
    rule: 'engine-needs-x-ignore-shared',
    words: /QEMU has to leave the shared memory out of its stream/,
    // Without descriptors the engine cannot take the guest out of QEMU's process, which would need none of this.
    options: { writer: 'engine', xIgnoreShared: 'off', fdset: 'off' },
  },
  {
    rule: 'engine-no-multifd',
    words: /the engine has channels of its own/,
    options: { writer: 'engine', multifd: 'on' },
  },
  {
    rule: 'engine-no-zero-page-choice',
    words: /the channels of the engine look for zero pages, and leave them out/,
    options: { writer: 'engine', zeroPageDetection: 'none' },
  },
  {
    rule: 'engine-no-bandwidth',
    words: /only QEMU keeps to a bandwidth/,
    options: { writer: 'engine', maxBandwidth: 64 * MIB },
  },
  {
    rule: 'engine-cannot-write',
    words: /this process cannot make the file: .*ENOENT/,
    options: { writer: 'engine' },
    target: (dir) => dir.file('missing/guest.snapshot'),
  },
];

/** Refusals before QEMU 11.0, with which mapped-ram with x-ignore-shared came. */
const BEFORE_11: readonly Refusal[] = [
  {
    rule: 'x-ignore-shared-broken',
    words: /before QEMU 11\.0 a mapped-ram file without the shared memory cannot be written/,
    options: { writer: 'qemu', xIgnoreShared: 'on' },
  },
];

for (const { way, writer, setup, options } of WAYS) {
  qemuTest(`${way}: what cannot be had is refused, and nothing is touched`, async (t) => {
    const refusals = ALWAYS.concat(way === 'engine' ? ENGINE : [], QEMU_VERSION[0] < 11 ? BEFORE_11 : []);
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(1);
    const before = await settings(guest.qmp);
    for (const refusal of refusals) await assertRefused(t, guest, dir, refusal);
    t.deepEqual(await settings(guest.qmp), before);
    await guest.assertAlive();
    await guest.cont();
    t.like(await save(guest.qmp, dir.file('guest.snapshot'), options), { writer, runState: 'running' });
  });
}

qemuTest('a word that no option takes is refused, and the guest does not stand still for it', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const seen: string[] = [];
  const events = guest.qmp.events(({ event }) => seen.push(event) === 0);
  for (const option of ['after', 'guard', 'writer', 'ioEngine', 'mappedRam']) {
    await t.throwsAsync(save(guest.qmp, dir.file('guest.snapshot'), { [option]: 'pause' }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: new RegExp(`^${option}: expected .*, found pause$`),
    });
  }
  t.like(await guest.qmp.execute('query-status'), { status: 'running' });
  await events.return();
  t.false(seen.includes('STOP'), seen.join());
  t.deepEqual(await readdir(dir.path), []);
});

qemuTest('a QEMU that has no guest is refused', async (t) => {
  await using dir = await temporaryDirectory();
  await using waiting = await startGuest({ incoming: true });
  const words = /there is no guest yet: this QEMU waits for one/;
  await assertRefused(t, waiting, dir, { rule: 'only-incoming', words, options: {} });
});

qemuTest('a guest that somebody else is moving is left alone', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  await guest.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 4096 });
  const before = await settings(guest.qmp);
  const controller = new AbortController();
  const active = deferred<void>();
  const moving = migrateOut(guest.qmp, 'exec:cat > /dev/null', {
    signal: controller.signal,
    onStatus: ({ status }) => (status === 'active' ? active.resolve() : undefined),
  });
  const moved = t.throwsAsync(moving, { message: 'enough' });
  await active.promise;
  const words = /a migration is under way already \(active\)/;
  await assertRefused(t, guest, dir, {
    rule: 'migration-running',
    words,
    options: {},
    code: 'ERR_MAPPED_RAM_BUSY',
  });
  controller.abort(new Error('enough'));
  await moved;
  t.deepEqual(await settings(guest.qmp), before);
  t.like(await save(guest.qmp, dir.file('guest.snapshot')), { verified: true });
  await guest.assertAlive();
});

qemuTest('a guest that QEMU cannot save is refused with its words', async (t) => {
  await using dir = await temporaryDirectory();
  await using disks = await temporaryDirectory();
  await writeFile(disks.file('disk'), Buffer.alloc(MIB));
  const drive = `if=none,id=d,format=raw,file=${disks.file('disk')}`;
  await using guest = await startGuest({ extraArgs: ['-drive', drive, '-device', 'nvme,drive=d,serial=1'] });
  await guest.waitForGenerations(1);
  const words = /QEMU says that this guest cannot be saved: .*nvme/;
  await assertRefused(t, guest, dir, { rule: 'blocked', words, options: {} });
  await guest.assertAlive();
});

qemuTest('two saves at once over one connection: the second is refused', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const first = save(guest.qmp, dir.file('one'));
  await t.throwsAsync(save(guest.qmp, dir.file('two')), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /a save is under way already on this connection/,
  });
  t.like(await first, { verified: true });
  t.deepEqual(await readdir(dir.path), ['one']);
  await using clone = await restoreGuest(dir.file('one'), {}, {});
  await clone.assertAlive();
});

async function assertRefused(
  t: ExecutionContext,
  guest: TestGuest,
  dir: TemporaryDirectory,
  { rule, words, options, target, code = 'ERR_MAPPED_RAM_UNSUPPORTED' }: Refusal,
): Promise<void> {
  const state = await guest.runState();
  const refused = save(guest.qmp, target?.(dir) ?? dir.file('guest.snapshot'), options);
  const error = await t.throwsAsync(refused, { code, message: words }, rule);
  t.like(error, { rule: { rule } }, error?.message);
  t.is(await guest.runState(), state);
  t.deepEqual(await readdir(dir.path), []);
}
