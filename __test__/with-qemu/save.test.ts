import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';

import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { save } from '../../ts/save/save.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { MIB, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { WAYS } from '../save/writers.ts';

const OFFSET = 4096;

for (const { way, writer, setup, options, stopped } of WAYS) {
  qemuTest(`${way}: what is left on auto saves a running guest, which goes on`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.snapshot');
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    const before = await settings(guest.qmp);
    const saved = await save(guest.qmp, path, options);
    t.like(saved, { path, offset: 0, writer, format: 'mapped-ram', verified: true, runState: 'running' });
    t.deepEqual(saved.warnings, []);
    t.is(saved.size, (await stat(path)).size);
    t.is((await stat(path)).mode & 0o777, 0o600);
    t.true(saved.blocks.some(({ id, length }) => id === 'm0' && length === 128 * MIB));
    const { pauseMs = 0, elapsedMs } = saved;
    t.true(pauseMs > 0 && pauseMs < elapsedMs, `${pauseMs} ms of ${elapsedMs}`);
    t.is(saved.transfer === undefined, writer === 'qemu');
    t.deepEqual(await settings(guest.qmp), before);
    t.deepEqual(await readdir(dir.path), ['guest.snapshot']);
    await guest.assertAlive();
  });

  qemuTest(`${way}: the guest stays stopped, or QEMU ends, when that is asked for`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    const saved = await save(guest.qmp, dir.file('one'), { after: 'stop', ...options });
    t.like(saved, { runState: stopped, pauseMs: undefined });
    const progress = await guest.checkMemory();
    if (way !== 'capture') {
      const again = await t.throwsAsync(save(guest.qmp, dir.file('two'), options), {
        code: 'ERR_MAPPED_RAM_UNSUPPORTED',
        message: /stands still since its last save/,
      });
      t.like(again, { rule: { rule: 'postmigrate' } });
    }
    await guest.assertAlive();
    await guest.cont();
    const quit = await save(guest.qmp, dir.file('three'), { after: 'quit', ...options });
    t.like(quit, { runState: undefined, pauseMs: undefined, warnings: [], verified: true });
    t.deepEqual(await guest.qemu.exited, { code: 0, signal: null });
    t.deepEqual((await readdir(dir.path)).toSorted(), ['one', 'three']);
    await using clone = await restoreGuest(dir.file('one'), setup, { after: 'stop' });
    t.deepEqual(await clone.checkMemory(), progress);
  });

  qemuTest(`${way}: a guest that did not run before stays so, and is what was saved`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    const progress = await guest.checkMemory();
    const saved = await save(guest.qmp, dir.file('stopped'), options);
    t.like(saved, { runState: stopped, pauseMs: undefined });
    t.deepEqual(await guest.checkMemory(), progress);
    await using clone = await restoreGuest(dir.file('stopped'), setup, { after: 'as-saved' });
    t.is(await clone.runState(), 'paused');
    t.deepEqual(await clone.checkMemory(), progress);
    await clone.assertAlive();
    // The guest runs after the save with `after: 'cont'`.
    await guest.assertAlive();
    t.like(await save(guest.qmp, dir.file('woken'), { after: 'cont', ...options }), { runState: 'running' });
    await guest.assertAlive();
  });

  qemuTest(`${way}: a machine that has never run is saved and boots in its clone`, async (t) => {
    await using dir = await temporaryDirectory();
    const waiting = { ...setup, extraArgs: ['-S'] };
    await using guest = await startGuest(waiting);
    t.is(await guest.runState(), 'prelaunch');
    const saved = await save(guest.qmp, dir.file('guest.snapshot'), options);
    t.is(saved.runState, way === 'capture' ? 'prelaunch' : stopped);
    for (const mode of MODE_NAMES) {
      await using clone = await restoreGuest(dir.file('guest.snapshot'), setup, { mode });
      await clone.assertAlive();
    }
    await guest.assertAlive();
  });

  qemuTest(`${way}: an existing snapshot is replaced only when that is allowed`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.snapshot');
    await writeFile(path, 'precious');
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(1);
    await t.throwsAsync(save(guest.qmp, path, options), { code: 'ERR_MAPPED_RAM_EXISTS' });
    t.is(await readFile(path, 'utf8'), 'precious');
    t.is(await guest.runState(), 'running');
    await save(guest.qmp, path, { overwrite: true, ...options });
    t.deepEqual(await readdir(dir.path), ['guest.snapshot']);
    await using clone = await restoreGuest(path, setup, {});
    await clone.assertAlive();
    // The clone keeps the file that it runs from.
    await save(guest.qmp, path, { overwrite: true, ...options });
    await clone.assertAlive();
  });

  qemuTest(`${way}: a save at an offset keeps the bytes before it`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('container');
    const target = `file:${path},offset=${OFFSET}`;
    const text = 'X'.repeat(OFFSET);
    await writeFile(path, text);
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    t.like(await save(guest.qmp, target, options), { path, offset: OFFSET, writer });
    t.is((await readFile(path)).subarray(0, OFFSET + 4).toString(), `${text}QEVM`);
    for (const mode of MODE_NAMES) {
      await using clone = await restoreGuest(target, setup, { mode });
      await clone.assertAlive();
    }
    // A snapshot lies behind the offset now.
    await t.throwsAsync(save(guest.qmp, target, options), { code: 'ERR_MAPPED_RAM_EXISTS' });
    await truncate(path, OFFSET);
    await save(guest.qmp, target, options);
    t.is((await readFile(path)).subarray(0, OFFSET + 4).toString(), `${text}QEVM`);
    await guest.assertAlive();
  });

  qemuTest(`${way}: saves leave descriptors, here and in QEMU, as they were`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(1);
    const inQemu = async (): Promise<readonly string[]> => readdir(`/proc/${guest.qemu.pid}/fd`);
    const once = async (): Promise<void> => {
      await save(guest.qmp, dir.file('guest.snapshot'), { overwrite: true, ...options });
      t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
    };
    await assertNoLeak(t, once, async () => {
      const before = await inQemu();
      await once();
      await once();
      t.deepEqual(await inQemu(), before);
    });
  });
}
