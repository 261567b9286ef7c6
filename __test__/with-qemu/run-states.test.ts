import assert from 'node:assert/strict';
import { open, readdir, writeFile } from 'node:fs/promises';

import { convert, planSave, restore, save, Snapshot } from '../../ts/index.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { readGlobalState, runStatePatch } from '../../ts/stream/global-state.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { startGuest } from '../support/qemu.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { libvirtBeginning } from '../support/libvirt.ts';
import { fatedGuestArgs, startFatedGuest, untilState } from '../support/fated-guest.ts';
import { MODES_FOR_ALL_STATES } from '../support/common-modes.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../save/writers.ts';

async function recorded(path: string): Promise<string | undefined> {
  await using snapshot = await Snapshot.open(path);
  return (await snapshot.info()).runState;
}

for (const { way, setup, options } of WAYS) {
  qemuTest(`${way}: a guest that ran comes back running, by this package and by QEMU alone`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.snapshot');
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    await save(guest.qmp, path, options);
    t.is(await recorded(path), 'running');
    for (const mode of MODE_NAMES) {
      await using clone = await restoreGuest(path, setup, { mode, after: 'as-saved' });
      t.is(clone.restored.runState, 'running', mode);
      await clone.waitForGenerations(1);
      await using waiting = await restoreGuest(path, setup, { mode, after: 'stop' });
      t.is(await waiting.runState(), 'paused', mode);
      t.is(waiting.serial(), '', 'it has not run for a moment');
    }
    await using alone = await startGuest({ ...setup, incoming: true });
    await alone.qmp.execute('migrate-set-capabilities', {
      capabilities: [{ capability: 'mapped-ram', state: true }],
    });
    await alone.qmp.execute('migrate-incoming', { uri: `file:${path}` });
    await untilState(alone.qmp, 'running');
    await alone.waitForGenerations(1);
  });
}

for (const stopped of [false, true]) {
  const how = stopped ? 'was stopped while it was asleep' : 'is asleep';
  qemuTest(`a guest that ${how} is saved in no way that would kill it`, async (t) => {
    await using dir = await temporaryDirectory();
    await using qemu = await startFatedGuest(
      await fatedGuestArgs(dir.file('disk'), 'suspended'),
      'suspended',
    );
    const { qmp } = qemu;
    if (stopped) await qmp.execute('stop');
    for (const after of [undefined, 'cont', 'stop'] as const) {
      const refusal = { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /asleep.*system_wakeup.*quit/ } as const;
      await t.throwsAsync(planSave(qmp, dir.file('guest.mr'), { after }), refusal, String(after));
      await t.throwsAsync(save(qmp, dir.file('guest.mr'), { after }), refusal, String(after));
    }
    t.deepEqual(await readdir(dir.path), ['disk']);
    if (stopped) await qmp.execute('cont');
    await untilState(qmp, 'suspended');
    await qmp.execute('system_wakeup');
    await untilState(qmp, 'suspended');
  });

  qemuTest(`a guest that ${how} is saved at its end, and sleeps on in every restore`, async (t) => {
    await using dir = await temporaryDirectory();
    const args = await fatedGuestArgs(dir.file('disk'), 'suspended');
    const path = dir.file('guest.mr');
    await using qemu = await startFatedGuest(args, 'suspended');
    if (stopped) await qemu.qmp.execute('stop');
    t.is((await save(qemu.qmp, path, { after: 'quit' })).runState, undefined);
    t.deepEqual(await qemu.exited, { code: 0, signal: null });
    t.is(await recorded(path), stopped ? 'paused' : 'suspended');
    const asSaved = stopped ? 'paused' : 'suspended';
    for (const mode of MODES_FOR_ALL_STATES) {
      for (const [after, state] of [
        ['cont', 'suspended'],
        ['stop', 'paused'],
        ['as-saved', asSaved],
      ] as const) {
        await using clone = await restore(path, { binary: QEMU_BINARY, args, mode, after });
        t.is(clone.runState, state, `${mode}, ${after}`);
        await clone.qemu.qmp.execute('cont');
        await untilState(clone.qemu.qmp, 'suspended');
        await clone.qemu.qmp.execute('system_wakeup');
        t.true(clone.qemu.qmp.isOpen);
      }
    }
  });
}

qemuTest('nobody is told to let a guest go on that sleeps since its last save', async (t) => {
  await using dir = await temporaryDirectory();
  await using qemu = await startFatedGuest(await fatedGuestArgs(dir.file('disk'), 'suspended'), 'suspended');
  const { qmp } = qemu;
  await qmp.execute('migrate', { uri: `file:${dir.file('by-hand')}` });
  await untilState(qmp, 'postmigrate');
  for (const after of [undefined, 'cont', 'stop', 'quit'] as const) {
    const { message } = await t.throwsAsync(save(qmp, dir.file('guest.mr'), { after }), {
      code: 'ERR_MAPPED_RAM_UNSUPPORTED',
      message: /asleep.*only quit and system_reset are left/,
    });
    t.notRegex(message, /\bcont\b/);
  }
  t.is((await qmp.execute('query-status')).status, 'postmigrate');
});

qemuTest('a save that fails lets a sleeping guest sleep on', async (t) => {
  await using dir = await temporaryDirectory();
  await using qemu = await startFatedGuest(await fatedGuestArgs(dir.file('disk'), 'suspended'), 'suspended');
  const abort = new AbortController();
  const onProgress = (): void => abort.abort(new Error('enough'));
  const options = { after: 'quit', maxBandwidth: 1, signal: abort.signal, onProgress } as const;
  await t.throwsAsync(save(qemu.qmp, dir.file('guest.mr'), options), { message: /enough/ });
  t.is((await qemu.qmp.execute('query-status')).status, 'suspended');
});

for (const state of ['shutdown', 'guest-panicked', 'io-error', 'watchdog'] as const) {
  qemuTest(`a guest in the state ${state} is saved as such, and comes back as such`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.mr');
    const args = await fatedGuestArgs(dir.file('disk'), state);
    await using qemu = await startFatedGuest(args, state);
    const needsReset = state === 'shutdown';
    if (needsReset) {
      const refusal = { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /system_reset/ } as const;
      await t.throwsAsync(save(qemu.qmp, path, { after: 'cont' }), refusal);
      t.is((await qemu.qmp.execute('query-status')).status, state);
    }
    for (const writer of ['engine', 'qemu'] as const) {
      const saved = await save(qemu.qmp, path, { writer, overwrite: true });
      // QEMU forgets the state only in a migration.
      t.is(saved.runState, writer === 'qemu' ? 'postmigrate' : state);
      t.is(
        saved.warnings.some((words) => words.includes(state)),
        writer === 'qemu',
      );
      t.is(await recorded(path), state);
      for (const mode of MODES_FOR_ALL_STATES) {
        for (const after of ['stop', 'as-saved'] as const) {
          await using clone = await restore(path, { binary: QEMU_BINARY, args, mode, after });
          t.is(clone.runState, state, `${writer}, ${mode}, ${after}`);
        }
      }
    }
    if (!needsReset) return;
    await t.throwsAsync(restore(path, { binary: QEMU_BINARY, args }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /shutdown.*system_reset/,
    });
  });
}

qemuTest('a guest that ended before libvirt stopped it comes back as it ended', async (t) => {
  await using dir = await temporaryDirectory();
  const [path, image] = [dir.file('guest.mr'), dir.file('guest.save')];
  const args = await fatedGuestArgs(dir.file('disk'), 'shutdown');
  {
    await using qemu = await startFatedGuest(args, 'shutdown');
    await save(qemu.qmp, path);
  }
  const header = libvirtBeginning('sparse', { wasRunning: true });
  await writeFile(image, header);
  await convert(path, `file:${image},offset=${header.length}`);
  await using clone = await restore(image, { binary: QEMU_BINARY, args, after: 'as-saved' });
  t.is(clone.runState, 'shutdown');
});

qemuTest('a recorded state that would end QEMU is refused, and convert puts it right', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  const args = await fatedGuestArgs(dir.file('disk'), 'guest-panicked');
  {
    await using qemu = await startFatedGuest(args, 'guest-panicked');
    await save(qemu.qmp, path, { after: 'quit' });
  }
  await record(path, 'debug');
  for (const mode of MODE_NAMES) {
    await t.throwsAsync(restore(path, { binary: QEMU_BINARY, args, mode, after: 'stop' }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /debug.*convert/,
    });
  }
  t.is((await convert(path, dir.file('better.mr'))).runState, 'paused');
  await using clone = await restore(dir.file('better.mr'), { binary: QEMU_BINARY, args, after: 'as-saved' });
  t.is(clone.runState, 'paused');
});

async function record(path: string, state: string): Promise<void> {
  await using snapshot = await Snapshot.open(path);
  const found = await readGlobalState(snapshot.reader, snapshot.index);
  assert(found !== undefined);
  const { bytes, offset } = runStatePatch(found, state);
  await using file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
}

qemuTest('a disk that another QEMU has is named, whatever the guest is to do', async (t) => {
  await using dir = await temporaryDirectory();
  const [path, disk] = [dir.file('guest.mr'), dir.file('disk.img')];
  await writeFile(disk, new Uint8Array(2 ** 20));
  const args = '-accel tcg -machine q35 -m 64M -display none -net none -drive'
    .split(' ')
    .concat(`file=${disk},format=raw,if=virtio`);
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
  await save(qemu.qmp, path);
  for (const mode of MODE_NAMES) {
    await using clone = await restore(path, { binary: QEMU_BINARY, args, mode, after: 'stop' });
    t.true(clone.warnings.some((words) => words.includes(disk) && words.includes('in use')));
    for (const after of ['cont', 'as-saved'] as const) {
      await t.throwsAsync(restore(path, { binary: QEMU_BINARY, args, mode, after }), {
        code: 'ERR_MAPPED_RAM_QEMU',
        message: new RegExp(disk),
      });
    }
  }
  await qemu.close();
  await using free = await restore(path, { binary: QEMU_BINARY, args, after: 'stop' });
  t.false(free.warnings.some((words) => words.includes(disk)));
});

qemuTest('a QEMU that does not answer from the start ends the save in time', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  process.kill(guest.qemu.pid, 'SIGSTOP');
  const startedAt = performance.now();
  for (const work of [save, planSave]) {
    await t.throwsAsync(work(guest.qmp, dir.file('guest.mr'), { timeoutMs: 500 }), {
      code: 'ERR_MAPPED_RAM_TIMEOUT',
    });
  }
  t.true(performance.now() - startedAt < 20_000);
  process.kill(guest.qemu.pid, 'SIGCONT');
  await guest.waitForGenerations(1);
});
