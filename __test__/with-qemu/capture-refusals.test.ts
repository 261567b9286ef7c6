import test from 'ava';

import { MappedRamError, planSave, save, type SaveOptions } from '../../ts/index.ts';
import { SETUP } from '../save/captured-guest.ts';
import { assertRefused, ModelSnapshot, type Refusal } from '../save/refused-capture.ts';
import { startGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { binaryOf, versionsTest } from '../versions/qemus.ts';

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

qemuTest('what an incremental save cannot be combined with is refused', async (t) => {
  const { guest, base, target } = await model.startClone('combined');
  await using _ = guest;
  const bad = 'ERR_MAPPED_RAM_INVALID_ARGUMENT';
  const cases: readonly [SaveOptions, Refusal][] = [
    [
      { base, writer: 'qemu' },
      { code: bad, message: /writer.*base|base.*QEMU writes/ },
    ],
    [{ base: '' }, { code: bad, message: /base/ }],
    [
      { base: 'none', form: 'delta' },
      { code: bad, message: /form/ },
    ],
    [
      { base, maxCopyMemory: -1 },
      { code: bad, message: /maxCopyMemory/ },
    ],
    [
      { base, maxCopyMemory: 1.5 },
      { code: bad, message: /maxCopyMemory/ },
    ],
    [
      { base, maxCopyMemory: Number.NaN },
      { code: bad, message: /maxCopyMemory/ },
    ],
    [{ base, live: true }, { message: /engine/ }],
    [{ base, mappedRam: 'off' }, { message: /mapped-ram/ }],
    [{ base, xIgnoreShared: 'on' }, { message: /x-ignore-shared/ }],
    [{ base, multifd: 'on' }, { message: /multifd/ }],
    [{ base, maxBandwidth: 1000 }, { message: /bandwidth/ }],
    [
      { base, form: 'whole' },
      { message: /no file can share the blocks of the base: the filesystem \S+ has no blocks that two/ },
    ],
  ];
  for (const [options, refusal] of cases) await assertRefused(t, guest, target, options, refusal);
  const elsewhere = `/dev/shm/mapped-ram-elsewhere-${process.pid}`;
  const apart = /no file can share the blocks of the base: they would be on two filesystems/;
  await assertRefused(t, guest, elsewhere, { base, form: 'whole' }, { message: apart });
  t.like(await planSave(guest.qmp, elsewhere, { base }), { form: { value: 'delta' } });
  await assertRefused(t, guest, 'tcp:127.0.0.1:1', { base }, { message: /file/ });
});

qemuTest('a guest that is no clone of a snapshot has no base', async (t) => {
  const rule = 'incremental-needs-clone';
  const target = dir.file('fresh.delta');
  {
    await using guest = await startGuest(SETUP);
    await assertRefused(t, guest, target, { base: 'auto' }, { rule, message: /instant restore/ });
    await assertRefused(t, guest, target, { base: model.path }, { rule, message: /instant restore/ });
  }
  {
    await using guest = await startGuest({ ...SETUP, backend: 'file', share: false });
    await assertRefused(t, guest, target, { base: 'auto' }, { rule, message: /no base/ });
  }
  for (const mode of ['eager', 'preload'] as const) {
    await using guest = await restoreGuest(model.path, SETUP, { mode });
    await assertRefused(t, guest, target, { base: 'auto' }, { rule, message: /instant restore/ });
  }
  // A clone of a delta stands on the delta's base.
  const { guest: first, base } = await model.startClone('below');
  const delta = dir.file('below.delta');
  await save(first.qmp, delta, { base: 'auto' });
  await first.close();
  await using guest = await restoreGuest(delta, SETUP, {});
  await assertRefused(
    t,
    guest,
    target,
    { base: delta },
    { rule: 'base-not-mapped', message: /another file/ },
  );
  t.is((await planSave(guest.qmp, target, { base: 'auto' })).base.value, base);
});

qemuTest('a device that no QEMU saves makes a capture impossible', async (t) => {
  const extraArgs = [
    '-object',
    'cryptodev-backend-builtin,id=c0',
    '-device',
    'virtio-crypto-pci,id=vc,cryptodev=c0',
  ];
  await using guest = await startGuest({ ...SETUP, extraArgs });
  await assertRefused(t, guest, dir.file('crypto.mr'), { base: 'auto' }, { message: /virtio-crypto/ });
  await assertRefused(t, guest, dir.file('crypto.mr'), { writer: 'engine' }, { message: /virtio-crypto/ });
  await assertRefused(t, guest, dir.file('crypto.mr'), {}, { message: /virtio-crypto/ });
});

versionsTest('a QEMU that names no devices which it cannot save is asked for no device state', async (t) => {
  await using folder = await temporaryDirectory();
  const setup = { ...SETUP, binary: binaryOf('5.2'), machine: 'pc-q35-5.2' };
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(1);
  for (const options of [{ base: 'auto' }, { writer: 'engine' }] as const) {
    await assertRefused(t, guest, folder.file('old.mr'), options, { message: /./ });
  }
  const error = await t.throwsAsync(planSave(guest.qmp, folder.file('old.mr'), { base: 'auto' }), {
    instanceOf: MappedRamError,
  });
  t.log(error?.message);
});
