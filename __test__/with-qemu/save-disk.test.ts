import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MappedRamError, planSave, save, type SaveOptions } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { SaveRig } from '../save/save-rig.ts';
import { SmallFilesystem } from '../save/small-filesystem.ts';

/** The size of a filesystem in MiB: less than the guests' memory takes in a snapshot. */
const SMALL_MIB = 24;
/** Another one: enough for a snapshot, and less than the guests' memory, so that one channel of QEMU writes. */
const ENOUGH_MIB = 100;

const WAYS: readonly SaveOptions[] = [
  { writer: 'engine', directIo: 'auto' },
  { writer: 'engine', directIo: 'off' },
  { writer: 'qemu' },
  { writer: 'qemu', directIo: 'off' },
  { writer: 'qemu', multifd: 'off' },
  { writer: 'qemu', multifd: 'off', fdset: 'off' },
  { writer: 'qemu', mappedRam: 'off' },
];

/** The number of descriptors that QEMU has open. */
function openIn(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Takes all of the room that a filesystem has left. */
function fill(path: string): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(2 ** 20, 1), { flag: 'a' });
  } catch {
    // It is full.
  }
}

/** True for errors of a full disk. The engine's have ENOSPC as their cause, QEMU's say it in words. */
function saysFull(error: MappedRamError | undefined): boolean {
  const cause = error?.cause;
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC') return true;
  return /No space left on device|has \d+ bytes left/.test(error?.message ?? '');
}

for (const kind of ['ext4', 'tmpfs'] as const) {
  qemuTest(`a disk that becomes full fails the save and nothing else: ${kind}`, async (t) => {
    await using small = await SmallFilesystem.mount(kind, ENOUGH_MIB);
    if (small === undefined) {
      // `mount` has said so on stderr. The test fails when everything is required.
      t.not(process.env['MAPPED_RAM_REQUIRE_QEMU'], '1', 'nothing can be mounted here');
      return;
    }
    await using rig = await SaveRig.start('engine');
    const { qmp, qemu } = rig.guest;
    const fail = async (way: SaveOptions): Promise<void> => {
      const filler = join(small.path, 'filler');
      const onProgress = (): void => fill(filler);
      const saving = save(qmp, join(small.path, 'snapshot'), { ...way, guard: 'off', onProgress });
      const error = await t.throwsAsync(saving, { instanceOf: MappedRamError });
      await rm(filler);
      t.true(saysFull(error), `${JSON.stringify(way)}: ${error?.message}`);
      t.deepEqual(await readdir(small.path), []);
    };
    for (const way of WAYS) await fail(way);
    // QEMU may die of a full disk when several channels write.
    const several = save(qmp, join(small.path, 'snapshot'), { writer: 'qemu', multifd: 'on' });
    await t.throwsAsync(several, { message: /multifd cannot be had: the disk has \d+ bytes left/ });
    await rig.assertAsBefore(t, 'all ways');
    const before = openIn(qemu.pid);
    await assertNoLeak(
      t,
      () => fail({}),
      async () => {
        for (const way of WAYS) await fail(way);
      },
    );
    t.is(openIn(qemu.pid), before, 'descriptors in QEMU');
    await rig.assertAsBefore(t, 'all ways again');
  });
}

for (const kind of ['ext4', 'tmpfs'] as const) {
  qemuTest(`a disk that is too small is refused before the guest is stopped: ${kind}`, async (t) => {
    await using small = await SmallFilesystem.mount(kind, SMALL_MIB);
    if (small === undefined) {
      t.not(process.env['MAPPED_RAM_REQUIRE_QEMU'], '1', 'nothing can be mounted here');
      return;
    }
    await using rig = await SaveRig.start('engine');
    const { qmp } = rig.guest;
    const stops = qmp.events('STOP');
    for (const way of WAYS) {
      for (const act of [planSave, save]) {
        const error = await t.throwsAsync(act(qmp, join(small.path, 'snapshot'), way), {
          instanceOf: MappedRamError,
          code: 'ERR_MAPPED_RAM_IO',
          message: /too little room for the snapshot: expected \d+ bytes, found \d+ bytes/,
        });
        t.true(saysFull(error));
      }
      t.deepEqual(await readdir(small.path), []);
    }
    await stops.return();
    t.deepEqual(await stops.next(), { done: true, value: undefined });
    await rig.assertAsBefore(t, 'all ways');
  });
}

qemuTest("a disk that is too small for the devices' blocks alone is refused, too", async (t) => {
  await using small = await SmallFilesystem.mount('tmpfs', 1);
  if (small === undefined) {
    t.not(process.env['MAPPED_RAM_REQUIRE_QEMU'], '1', 'nothing can be mounted here');
    return;
  }
  // Each card has an option ROM of its own. The guest's RAM is all zeros before the guest runs.
  const cards = Array.from({ length: 8 }, () => ['-device', 'e1000e']).flat();
  const args = ['-machine', 'q35', '-m', '64M', '-display', 'none', '-nodefaults', '-S', ...cards];
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
  const error = await t.throwsAsync(planSave(qemu.qmp, join(small.path, 'snapshot')), {
    instanceOf: MappedRamError,
    message: /too little room for the snapshot/,
  });
  t.true(saysFull(error));
});

qemuTest('a save that works leaves no descriptor and no thread either', async (t) => {
  await using rig = await SaveRig.start('engine');
  const { qmp, qemu } = rig.guest;
  const work = async (): Promise<void> => {
    for (const way of WAYS) {
      await save(qmp, rig.target, { ...way, overwrite: true });
      if (way.mappedRam !== 'off') t.true(await rig.assertNoneIncomplete(t, JSON.stringify(way)));
    }
  };
  await work();
  const before = openIn(qemu.pid);
  await assertNoLeak(t, () => Promise.resolve(), work);
  t.is(openIn(qemu.pid), before, 'descriptors in QEMU');
  await save(qmp, rig.target, { overwrite: true });
  await rig.assertAsBefore(t, 'all ways');
});

qemuTest('a place that cannot be written to is refused before the guest is stopped', async (t) => {
  await using dir = await temporaryDirectory();
  await mkdir(dir.file('directory'));
  await writeFile(dir.file('file'), 'old');
  await symlink(dir.file('missing/x'), dir.file('astray'));
  await symlink(dir.file('file'), dir.file('link'));
  t.is(spawnSync('mkfifo', [dir.file('fifo')]).status, 0);
  const places = [
    [dir.file('missing/snapshot'), 'ERR_MAPPED_RAM_IO', /there is no directory/],
    [dir.file('file/snapshot'), 'ERR_MAPPED_RAM_IO', /creating the file/],
    [dir.file('directory'), 'ERR_MAPPED_RAM_UNSUPPORTED', /no regular file/],
    [dir.file('fifo'), 'ERR_MAPPED_RAM_UNSUPPORTED', /no regular file/],
    [dir.file('file'), 'ERR_MAPPED_RAM_EXISTS', /exists already/],
    [dir.file('link'), 'ERR_MAPPED_RAM_EXISTS', /exists already/],
    [dir.file('astray'), 'ERR_MAPPED_RAM_EXISTS', /exists already/],
  ] as const;
  const names = await readdir(dir.path);
  for (const writer of ['engine', 'qemu'] as const) {
    await using rig = await SaveRig.start(writer);
    const stops = rig.guest.qmp.events('STOP');
    for (const [place, code, message] of places) {
      await t.throwsAsync(save(rig.guest.qmp, place), { code, message }, place);
    }
    await using small = await SmallFilesystem.mount('tmpfs', SMALL_MIB);
    small?.makeReadOnly();
    if (small !== undefined) {
      const saving = save(rig.guest.qmp, join(small.path, 'snapshot'));
      const error = await t.throwsAsync(saving, { code: 'ERR_MAPPED_RAM_IO' });
      t.like(error?.cause, { code: 'EROFS' });
    }
    await stops.return();
    t.deepEqual(await stops.next(), { done: true, value: undefined });
    t.deepEqual(await readdir(dir.path), names);
    t.is(await readFile(dir.file('file'), 'utf8'), 'old');
    await rig.assertAsBefore(t, 'all places');
    // The save replaces the file to which a link leads, and the link stays.
    const replaced = await save(rig.guest.qmp, dir.file('link'), { writer, overwrite: true });
    t.true(replaced.verified);
    t.deepEqual(await readdir(dir.path), names);
    await writeFile(dir.file('file'), 'old');
  }
});

for (const writer of ['engine', 'qemu'] as const) {
  qemuTest(`a file that gets the name during the save is not replaced, writer ${writer}`, async (t) => {
    await using rig = await SaveRig.start(writer);
    await using dir = await temporaryDirectory();
    const target = dir.file('snapshot');
    const onProgress: SaveOptions['onProgress'] = ({ step }) => {
      if (step === 'memory') writeFileSync(target, 'theirs');
    };
    await t.throwsAsync(save(rig.guest.qmp, target, { writer, onProgress }), {
      code: 'ERR_MAPPED_RAM_EXISTS',
    });
    t.is(await readFile(target, 'utf8'), 'theirs');
    t.deepEqual(await readdir(dir.path), ['snapshot']);
    await rig.assertAsBefore(t, 'theirs');
  });
}
