import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';

import { save, type SaveOptions } from '../../ts/index.ts';
import { assertMemory, assertRestores } from '../save/captured-guest.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { binaryOf } from '../versions/qemus.ts';

const SETUP: GuestSetup = { memoryMiB: 128, region: { start: 16 * MIB, length: 16 * MIB } };
const NEWEST = binaryOf('11.1');
const BINARIES = [QEMU_BINARY, ...(existsSync(NEWEST) ? [NEWEST] : [])];

for (const binary of BINARIES) {
  for (const machine of ['q35', 'pc']) {
    // The other pairs show nothing that these do not, and every guest takes its time.
    for (const numa of [machine === 'pc']) {
      const kind = `${machine}, ${numa ? 'two NUMA blocks' : 'one block'}, ${binary}`;
      qemuTest(`the engine takes a guest with private memory out of QEMU's process: ${kind}`, async (t) => {
        await using dir = await temporaryDirectory();
        const { region: _, ...bare } = SETUP;
        const setup = { ...(numa ? bare : SETUP), binary, machine, numa, extraArgs: ['-device', 'VGA'] };
        await using guest = await startGuest(setup);
        await guest.waitForGenerations(2);
        for (const maxCopyMemory of [undefined, 0, 5 * MIB]) {
          const path = dir.file(`${maxCopyMemory}.mr`);
          await guest.cont();
          const saved = await save(guest.qmp, path, { after: 'stop', writer: 'engine', maxCopyMemory });
          t.is(saved.writer, 'engine', saved.writerWhy);
          t.deepEqual(saved.warnings, []);
          t.is(saved.capture?.form, 'whole');
          t.is(saved.runState, 'paused');
          t.is(saved.migration, undefined);
          if (maxCopyMemory === undefined) t.is(saved.capture?.bytesInPause, 0);
          else t.true((saved.capture?.bytesInPause ?? 0) > 0);
          await assertMemory(t, guest, path, `copy of ${maxCopyMemory}`);
          if (maxCopyMemory === 5 * MIB) await assertRestores(t, path, setup);
        }
        const before = await guest.checkMemory();
        t.true((await guest.assertAlive()).generation > before.generation);
      });

      qemuTest(`clones of clones are saved incrementally, as deltas: ${kind}`, async (t) => {
        await using dir = await temporaryDirectory();
        const { region: _, ...bare } = SETUP;
        const setup = { ...(numa ? bare : SETUP), binary, machine, numa, extraArgs: ['-device', 'VGA'] };
        const base = dir.file('base.mr');
        {
          await using guest = await startGuest(setup);
          await guest.waitForGenerations(2);
          await save(guest.qmp, base, { writer: 'engine' });
        }
        let from = base;
        for (const link of [1, 2, 3]) {
          await using guest = await restoreGuest(from, setup, {});
          await guest.waitForGenerations(1);
          const path = dir.file(`link${link}.mr`);
          const options: SaveOptions = { after: 'stop', base: 'auto', form: 'delta' };
          if (link === 2) Object.assign(options, { maxCopyMemory: 2 * MIB });
          const saved = await save(guest.qmp, path, options);
          t.is(saved.capture?.base, base);
          t.is(saved.capture?.form, 'delta');
          t.deepEqual(saved.warnings, []);
          const written = (await stat(path)).blocks * 512;
          t.true(written <= (saved.capture?.changedBytes ?? 0) * 1.05 + 2 * MIB, `${written} bytes`);
          await assertMemory(t, guest, path, `link ${link}`);
          if (link !== 1) await assertRestores(t, path, setup);
          from = path;
        }
      });
    }
  }
}

for (const shared of [
  { backend: 'file', share: true },
  { backend: 'memfd', share: true },
] as const) {
  qemuTest(`shared memory is copied first, too: ${shared.backend}`, async (t) => {
    await using dir = await temporaryDirectory();
    const setup: GuestSetup = { ...SETUP, ...shared, extraArgs: ['-device', 'VGA'] };
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    for (const maxCopyMemory of [undefined, 0, 5 * MIB]) {
      const path = dir.file(`${maxCopyMemory}.mr`);
      await guest.cont();
      const saved = await save(guest.qmp, path, { after: 'stop', writer: 'engine', maxCopyMemory });
      t.like(saved, { writer: 'engine', plan: { stateOnly: { value: true } } }, saved.writerWhy);
      t.deepEqual(saved.warnings, []);
      if (maxCopyMemory === undefined) t.is(saved.capture?.bytesInPause, 0);
      else t.true((saved.capture?.bytesInPause ?? 0) > 0);
      await assertMemory(t, guest, path, `copy of ${maxCopyMemory}`);
    }
    await assertRestores(t, dir.file(`${5 * MIB}.mr`), { ...setup, backend: 'ram', share: false });
  });
}
