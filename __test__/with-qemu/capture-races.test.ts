import { copyFile, readdir, rename } from 'node:fs/promises';

import test from 'ava';

import { MappedRamError, save, verify } from '../../ts/index.ts';
import { assertMemory, SETUP } from '../save/captured-guest.ts';
import { assertRefused, justBefore, ModelSnapshot } from '../save/refused-capture.ts';
import { startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';

let dir: TemporaryDirectory;
let model: ModelSnapshot;

test.before(async () => {
  if (QEMU_MISSING !== undefined) return;
  model = await ModelSnapshot.make();
  ({ dir } = model);
});

test.after.always(async () => {
  if (QEMU_MISSING === undefined) await model[Symbol.asyncDispose]();
});

qemuTest(
  'a base that gets another file under its name between the plan and the stop is refused',
  async (t) => {
    const { guest, base, target } = await model.startClone('replaced');
    await using _ = guest;
    await copyFile(model.path, dir.file('usurper.mr'));
    // A save claims the guest behind its plan.
    const spy = justBefore(guest, 'object-add', () => rename(dir.file('usurper.mr'), base));
    const refusal = { code: 'ERR_MAPPED_RAM_BASE', message: /replaced\.mr/, onlySave: true } as const;
    await assertRefused(t, guest, target, { base: 'auto' }, refusal);
    spy.undo();
    t.false((await readdir(dir.path)).some((name) => name.includes('replaced.delta')));
  },
);

qemuTest(
  'a base that gets another name behind the pause is the base all the same, of a seal too',
  async (t) => {
    const { guest, base, target } = await model.startClone('moved');
    await using _ = guest;
    const spy = justBefore(guest, 'cont', () => rename(base, dir.file('moved-away.mr')));
    const saved = await save(guest.qmp, target, { base: 'auto', seal: true });
    spy.undo();
    t.truthy(saved.seal);
    const { verified, findings } = await verify({ path: target, base: { path: dir.file('moved-away.mr') } });
    t.true(verified, JSON.stringify(findings));
  },
);

/** Plugs a dimm in. */
const plug = (guest: TestGuest) => () =>
  guest.qmp.execute('device_add', { driver: 'pc-dimm', id: 'd1', memdev: 'late' });

/** A guest with room for a dimm. */
const WITH_SLOTS = {
  ...SETUP,
  memoryArgs: ['-m', '128M,slots=2,maxmem=1G', '-object', 'memory-backend-ram,id=late,size=64M'],
  memoryBlocks: ['pc.ram'],
} as const;

qemuTest(
  'memory that is plugged in behind the plan is refused where the base lacks it, and saved elsewhere',
  async (t) => {
    const path = dir.file('slots.mr');
    {
      await using guest = await startGuest(WITH_SLOTS);
      await guest.waitForGenerations(1);
      await save(guest.qmp, path);
    }
    {
      await using guest = await restoreGuest(path, WITH_SLOTS, {});
      const target = dir.file('slots.delta');
      const spy = justBefore(guest, 'object-add', plug(guest));
      const refusal = { code: 'ERR_MAPPED_RAM_BASE', message: /block late/, onlySave: true } as const;
      await assertRefused(t, guest, target, { base: 'auto' }, refusal);
      spy.undo();
      await assertRefused(
        t,
        guest,
        target,
        { base: 'auto' },
        { rule: 'base-unfit', message: /no block late/ },
      );
      await save(guest.qmp, target, { after: 'stop', writer: 'engine' });
      await assertMemory(t, guest, target, 'whole');
    }
    await using guest = await restoreGuest(path, WITH_SLOTS, {});
    const target = dir.file('slots-late.delta');
    const spy = justBefore(guest, 'stop', plug(guest));
    const error = await t.throwsAsync(save(guest.qmp, target, { base: 'auto' }), {
      instanceOf: MappedRamError,
    });
    t.regex(error?.message ?? '', /blocks of the guest have changed/);
    spy.undo();
    t.is(await guest.runState(), 'running');
    t.false((await readdir(dir.path)).some((name) => name.includes('slots-late')));
  },
);

qemuTest('a device that no QEMU saves, plugged in behind the plan, costs nothing but the save', async (t) => {
  const extraArgs = [
    '-device',
    'pcie-root-port,id=port1,chassis=1',
    '-object',
    'cryptodev-backend-builtin,id=c0',
  ];
  await using guest = await startGuest({ ...SETUP, extraArgs });
  await guest.waitForGenerations(1);
  const spy = justBefore(guest, 'stop', () =>
    guest.qmp.execute('device_add', { driver: 'virtio-crypto-pci', id: 'vc', cryptodev: 'c0', bus: 'port1' }),
  );
  const error = await t.throwsAsync(save(guest.qmp, dir.file('plugged.mr'), { writer: 'engine' }), {
    instanceOf: MappedRamError,
  });
  t.regex(error?.message ?? '', /virtio-crypto/);
  spy.undo();
  t.is(await guest.runState(), 'running');
  await guest.waitForGenerations(1);
  t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
});
