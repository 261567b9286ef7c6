import { copyFile, link, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';

import test from 'ava';

import { lockFile } from '../../ts/engine/file-lock.ts';
import { attach, MappedRamError, planSave, save, type SaveOptions, Snapshot } from '../../ts/index.ts';
import { assertMemory, FREE, PAGE, poke, SETUP } from '../save/captured-guest.ts';
import { assertRefused, ModelSnapshot } from '../save/refused-capture.ts';
import { MIB, startGuest } from '../support/qemu.ts';
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

qemuTest('a base that is not the file which QEMU maps is refused', async (t) => {
  const { guest, base, target } = await model.startClone('named');
  await using _ = guest;
  const rule = 'base-not-mapped';
  await writeFile(dir.file('other.mr'), 'something else');
  await assertRefused(
    t,
    guest,
    target,
    { base: model.path },
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
  await copyFile(model.path, dir.file('usurper.mr'));
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
  await using snapshot = await Snapshot.open(model.path);
  const offset = snapshot.completeRam().blocks.find(({ id }) => id === 'pc.ram')?.area.pagesOffset;
  const object = `memory-backend-file,id=pc.ram,size=128M,share=off,mem-path=${model.path},offset=${offset}`;
  await using guest = await startGuest({
    ...SETUP,
    memoryArgs: ['-m', '128M', '-object', object, '-machine', 'memory-backend=pc.ram'],
    incoming: true,
  });
  const { warnings } = await attach(guest.qmp, snapshot, { mode: 'instant' });
  t.regex(warnings.join(), /has opened .*model\.mr for writing \(pc\.ram\).*readonly=on,rom=off/);
  for (const base of ['auto', model.path]) {
    const message = /has opened .*model\.mr for writing \(block pc\.ram\).*readonly=on,rom=off/;
    await assertRefused(t, guest, dir.file('writable.delta'), { base }, { rule: 'base-unfit', message });
  }
});

qemuTest('a base that was changed since the clone was started is refused', async (t) => {
  const { guest, base, target } = await model.startClone('changed');
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
  const { guest, base, target } = await model.startClone('locked');
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

qemuTest('a delta does not take the place of its own base', async (t) => {
  const { guest, base } = await model.startClone('itself');
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

qemuTest('names of all kinds lead to the base', async (t) => {
  for (const name of ['schön ☃.mr', 'a (deleted)', 'two\nlines.mr', 'back\\slash.mr', ' spaces ']) {
    const folder = dir.file(`in ${name}`);
    await mkdir(folder);
    const base = `${folder}/${name}`;
    await copyFile(model.path, base);
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
    await using source = await restoreGuest(model.path, SETUP, {});
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
