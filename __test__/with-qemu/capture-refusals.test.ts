import { copyFile, link, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import { lockFile } from '../../ts/engine/file-lock.ts';
import {
  attach,
  MappedRamError,
  planSave,
  save,
  type SaveOptions,
  Snapshot,
  verify,
} from '../../ts/index.ts';
import { assertMemory, FREE, PAGE, poke, scattered, SETUP } from '../save/captured-guest.ts';
import { settings } from '../negotiate/carry-out.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { binaryOf, versionsTest } from '../versions/qemus.ts';

interface Refusal {
  readonly code?: MappedRamError['code'];
  /** The rule that refuses, where it is one. */
  readonly rule?: string;
  readonly message: RegExp;
  /** True for a refusal that only `save` can come to. @default false */
  readonly onlySave?: boolean;
}

/** Asserts that a save is refused in words, while the guest goes on, and that it leaves nothing behind. */
async function assertRefused(
  t: ExecutionContext,
  guest: TestGuest,
  target: string,
  options: SaveOptions,
  { code = 'ERR_MAPPED_RAM_UNSUPPORTED', rule, message, onlySave = false }: Refusal,
): Promise<void> {
  const { qmp } = guest;
  const before = [
    await settings(qmp),
    await guest.runState(),
    await qmp.execute('qom-list', { path: '/objects' }),
  ];
  const stops = qmp.events(['STOP', 'RESUME']);
  for (const act of onlySave ? [save] : [planSave, save]) {
    const error = await t.throwsAsync(
      act(qmp, target, options),
      { instanceOf: MappedRamError, message },
      act.name,
    );
    t.is(error?.code, code, error?.message);
    if (rule !== undefined) t.is(error?.rule?.rule, rule, error?.message);
  }
  await stops.return();
  t.deepEqual(await stops.next(), { done: true, value: undefined }, 'the guest was stopped');
  const after = [
    await settings(qmp),
    await guest.runState(),
    await qmp.execute('qom-list', { path: '/objects' }),
  ];
  t.deepEqual(after, before);
  t.deepEqual(await qmp.execute('query-fdsets'), []);
}

let dir: TemporaryDirectory;
/** A snapshot with data in the memory that the guest does not use. */
let model = '';

test.before(async () => {
  if (QEMU_MISSING !== undefined) return;
  dir = await temporaryDirectory();
  model = dir.file('model.mr');
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(2);
  await guest.stop();
  await poke(guest, scattered(FREE.start, 8 * MIB, 1, 1));
  await save(guest.qmp, model, { writer: 'engine' });
});

test.after.always(async () => {
  if (QEMU_MISSING === undefined) await dir[Symbol.asyncDispose]();
});

/** A clone of a base of its own, running. */
async function startClone(
  name: string,
): Promise<{ readonly guest: TestGuest; readonly base: string; readonly target: string }> {
  const base = dir.file(`${name}.mr`);
  await copyFile(model, base);
  const guest = await restoreGuest(base, SETUP, {});
  return { guest, base, target: dir.file(`${name}.delta`) };
}

qemuTest('a base that is not the file which QEMU maps is refused', async (t) => {
  const { guest, base, target } = await startClone('named');
  await using _ = guest;
  const rule = 'base-not-mapped';
  await writeFile(dir.file('other.mr'), 'something else');
  await assertRefused(
    t,
    guest,
    target,
    { base: model },
    { rule, message: /QEMU has mapped .*named\.mr, and .*model\.mr is another file/ },
  );
  await assertRefused(t, guest, target, { base: dir.file('other.mr') }, { rule, message: /is another file/ });
  await assertRefused(
    t,
    guest,
    target,
    { base: dir.file('none.mr') },
    { rule, message: /none\.mr is not there/ },
  );
  await assertRefused(t, guest, target, { base: dir.path }, { rule, message: /is another file/ });
  // Another name of the same file is as good.
  await link(base, dir.file('second-name.mr'));
  t.is(
    (await planSave(guest.qmp, target, { base: dir.file('second-name.mr') })).base.value,
    dir.file('second-name.mr'),
  );
  // Another file gets the name.
  await copyFile(model, dir.file('usurper.mr'));
  await rename(dir.file('usurper.mr'), base);
  for (const wanted of ['auto', base]) {
    await assertRefused(
      t,
      guest,
      target,
      { base: wanted },
      { rule, message: /another file|not lead to that file/ },
    );
  }
  // Nobody has the name any more.
  await rm(base);
  for (const wanted of ['auto', base]) {
    await assertRefused(
      t,
      guest,
      target,
      { base: wanted },
      { rule, message: /not there|not lead to that file/ },
    );
  }
  await rm(dir.file('second-name.mr'));
  await guest.waitForGenerations(1);
  // All of the memory can still be saved: the file is there as long as QEMU has it.
  const saved = await save(guest.qmp, target, { after: 'stop', writer: 'engine' });
  t.is(saved.writer, 'engine', saved.writerWhy);
  await assertMemory(t, guest, target, 'without a base');
});

qemuTest('a base into which QEMU may punch holes is refused, and its guest is warned of', async (t) => {
  await using snapshot = await Snapshot.open(model);
  const offset = snapshot.completeRam().blocks.find(({ id }) => id === 'pc.ram')?.area.pagesOffset;
  const object = `memory-backend-file,id=pc.ram,size=128M,share=off,mem-path=${model},offset=${offset}`;
  await using guest = await startGuest({
    ...SETUP,
    memoryArgs: ['-m', '128M', '-object', object, '-machine', 'memory-backend=pc.ram'],
    incoming: true,
  });
  const { warnings } = await attach(guest.qmp, snapshot, { mode: 'instant' });
  t.regex(warnings.join(), /has opened .*model\.mr for writing \(pc\.ram\).*readonly=on,rom=off/);
  for (const base of ['auto', model]) {
    const message = /has opened .*model\.mr for writing \(block pc\.ram\).*readonly=on,rom=off/;
    await assertRefused(t, guest, dir.file('writable.delta'), { base }, { rule: 'base-unfit', message });
  }
});

qemuTest('a base that was changed since the clone was started is refused', async (t) => {
  const { guest, base, target } = await startClone('changed');
  await using _ = guest;
  const rule = 'base-unfit';
  const file = await open(base, 'r+');
  const { blocks } = await blocksOf(base);
  const main = blocks.find(({ id }) => id === 'pc.ram');
  t.truthy(main);
  if (main === undefined) return;
  const { bitmapOffset, pagesOffset } = main.area;
  const spoil = async (offset: number, bytes: Uint8Array): Promise<() => Promise<void>> => {
    const before = Buffer.alloc(bytes.length);
    await file.read(before, 0, before.length, offset);
    await file.write(bytes, 0, bytes.length, offset);
    return async () => void (await file.write(before, 0, before.length, offset));
  };
  try {
    // Its head is gone.
    let putBack = await spoil(0, Buffer.from('nothing'));
    await assertRefused(t, guest, target, { base }, { message: /no base|no block of this guest|not a/ });
    await putBack();
    // A bit of a page that the guest sees was cleared: a restore would take the page for zeros.
    const page = FREE.start / PAGE + 16;
    putBack = await spoil(bitmapOffset + page / 8, Uint8Array.of(0));
    for (const wanted of ['auto', base]) {
      await assertRefused(t, guest, target, { base: wanted }, { rule, message: /changed\.mr .*changed/ });
    }
    await putBack();
    // A page without a bit got bytes.
    putBack = await spoil(pagesOffset + FREE.start + 32 * MIB, Buffer.alloc(PAGE, 'stale'));
    await assertRefused(t, guest, target, { base }, { rule, message: /changed/ });
    await putBack();
    // The same page is no matter where the guest has written over it.
    putBack = await spoil(pagesOffset + FREE.start + 33 * MIB, Buffer.alloc(PAGE, 'stale'));
    await poke(guest, [{ offset: FREE.start + 33 * MIB, bytes: Buffer.alloc(PAGE, 'mine') }]);
    t.is((await planSave(guest.qmp, target, { base })).base.value, base);
    await putBack();
    // The end is missing.
    const { size } = await file.stat();
    const tail = Buffer.alloc(4096);
    await file.read(tail, 0, tail.length, size - tail.length);
    await file.truncate(size - tail.length);
    await assertRefused(t, guest, target, { base }, { rule, message: /no base/ });
    await file.write(tail, 0, tail.length, size - tail.length);
    await guest.waitForGenerations(1);
    await save(guest.qmp, target, { base, after: 'stop' });
    await assertMemory(t, guest, target, 'put back');
  } finally {
    await file.close();
  }
});

async function blocksOf(path: string): Promise<ReturnType<Snapshot['completeRam']>> {
  await using snapshot = await Snapshot.open(path);
  return snapshot.completeRam();
}

qemuTest('a guest keeps writers away from its base, and a save leaves no lock behind', async (t) => {
  const { guest, base, target } = await startClone('locked');
  const file = await open(base, 'r+');
  try {
    await save(guest.qmp, target, { base: 'auto' });
    const error = t.throws(() => lockFile(file.fd, 'exclusive', base), { instanceOf: MappedRamError });
    t.is(error?.code, 'ERR_MAPPED_RAM_BUSY');
    await guest.close();
    t.true(lockFile(file.fd, 'exclusive', base));
  } finally {
    await guest.close();
    await file.close();
  }
});

/** Does something the moment before QEMU gets a command. */
function justBefore(
  guest: TestGuest,
  command: string,
  act: () => Promise<unknown>,
): { readonly undo: () => void } {
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  let isDone = false;
  const spied: typeof execute = async (name, ...rest) => {
    if (name === command && !isDone) {
      isDone = true;
      await act();
    }
    return execute(name, ...rest);
  };
  qmp.execute = spied;
  return { undo: () => void (qmp.execute = execute) };
}

qemuTest(
  'a base that gets another file under its name between the plan and the stop is refused',
  async (t) => {
    const { guest, base, target } = await startClone('replaced');
    await using _ = guest;
    await copyFile(model, dir.file('usurper.mr'));
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
    const { guest, base, target } = await startClone('moved');
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

qemuTest('a delta does not take the place of its own base', async (t) => {
  const { guest, base } = await startClone('itself');
  await using _ = guest;
  await link(base, dir.file('itself-too.mr'));
  for (const target of [base, dir.file('itself-too.mr')]) {
    // This filesystem makes a delta of auto.
    for (const form of ['delta', 'auto'] as const) {
      const options: SaveOptions = { base: 'auto', form, overwrite: true };
      const message = /base.* are the same file/;
      await assertRefused(t, guest, target, options, { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message });
    }
  }
  await using snapshot = await Snapshot.open(base);
  t.is(snapshot.base, undefined);
});

qemuTest('what an incremental save cannot be combined with is refused', async (t) => {
  const { guest, base, target } = await startClone('combined');
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
    await assertRefused(t, guest, target, { base: model }, { rule, message: /instant restore/ });
  }
  {
    await using guest = await startGuest({ ...SETUP, backend: 'file', share: false });
    await assertRefused(t, guest, target, { base: 'auto' }, { rule, message: /no base/ });
  }
  for (const mode of ['eager', 'preload'] as const) {
    await using guest = await restoreGuest(model, SETUP, { mode });
    await assertRefused(t, guest, target, { base: 'auto' }, { rule, message: /instant restore/ });
  }
  // A clone of a delta stands on the delta's base.
  const { guest: first, base } = await startClone('below');
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

qemuTest('names of all kinds lead to the base', async (t) => {
  for (const name of ['schön ☃.mr', 'a (deleted)', 'two\nlines.mr', 'back\\slash.mr', ' spaces ']) {
    const folder = dir.file(`in ${name}`);
    await mkdir(folder);
    const base = `${folder}/${name}`;
    await copyFile(model, base);
    await using guest = await restoreGuest(base, SETUP, { after: 'stop' });
    const target = `${folder}/delta of ${name}`;
    const saved = await save(guest.qmp, target, { base: 'auto' });
    t.is(saved.capture?.base, base);
    await assertMemory(t, guest, target, JSON.stringify(name));
  }
});

qemuTest('a snapshot at an offset in a file is no base', async (t) => {
  const path = dir.file('volume.mr');
  {
    await using source = await restoreGuest(model, SETUP, {});
    await save(source.qmp, `file:${path},offset=${MIB}`, { writer: 'engine' });
  }
  await using guest = await restoreGuest({ path, offset: MIB }, SETUP, { mode: 'instant' });
  await assertRefused(
    t,
    guest,
    dir.file('volume-later.mr'),
    { base: 'auto' },
    {
      rule: 'incremental-needs-clone',
      message: /volume\.mr\) is no base: .*; a base begins where its file does/,
    },
  );
});
