import { open, readFile, writeFile } from 'node:fs/promises';

import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { planSave, save, type SaveOptions, Snapshot, verify } from '../../ts/index.ts';
import { assertMemory, assertRestores, FREE, PAGE, poke, scattered, SETUP } from '../save/captured-guest.ts';
import { fatedGuestArgs, startFatedGuest, untilState } from '../support/fated-guest.ts';
import { LoopVolume } from '../support/loop-volume.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Each form, as options of a save of a clone. */
const FORMS: readonly (readonly [name: string, options: SaveOptions])[] = [
  ['all', { writer: 'engine' }],
  ['auto', { base: 'auto' }],
  ['delta', { base: 'auto', form: 'delta' }],
];

async function recorded(path: string, offset = 0): Promise<string | undefined> {
  await using snapshot = await Snapshot.open({ path, offset });
  return (await snapshot.info()).runState;
}

/** Saves a guest with data in its free memory. */
async function makeBase(path: string, options: SaveOptions = {}): Promise<void> {
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(1);
  await guest.stop();
  await poke(guest, scattered(FREE.start, 32 * MIB, 1, 1));
  await guest.cont();
  await save(guest.qmp, path, { writer: 'engine', ...options });
}

async function spoil(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(Buffer.from('spoiled'), 0, 7, offset);
  } finally {
    await file.close();
  }
}

qemuTest('a seal of a capture of every form stands for every page', async (t) => {
  await using volume = await LoopVolume.mount('xfs', 1000);
  await using fallback = await temporaryDirectory();
  const dir = volume ?? fallback;
  const base = dir.file('base.mr');
  await makeBase(base, { seal: true });
  t.is((await verify(base)).seal?.state, 'checked');
  const paths: string[] = [];
  {
    await using guest = await restoreGuest(base, SETUP, {});
    for (const [form, options] of FORMS) {
      for (const after of ['cont', 'stop'] as const) {
        await guest.cont();
        await guest.waitForGenerations(1);
        const path = dir.file(`${form}-${after}.mr`);
        const plan = await planSave(guest.qmp, path, { ...options, seal: true, after });
        const saved = await save(guest.qmp, path, { ...options, seal: true, after });
        t.is(plan.form.value, saved.capture?.form, 'it was found out, and the plan has left nothing');
        t.deepEqual(saved.warnings, [], form);
        t.is(saved.seal, `${path}.seal`);
        t.is(saved.runState, after === 'cont' ? 'running' : 'paused');
        t.is(saved.pauseMs === undefined, after === 'stop');
        t.is(await recorded(path), 'running', `${form}, ${after}`);
        const { verified, findings, seal } = await verify(path);
        t.true(verified, `${form}: ${JSON.stringify(findings)}`);
        t.is(seal?.state, 'checked');
        if (after === 'stop') await assertMemory(t, guest, path, form);
        paths.push(path);
      }
    }
  }
  // A byte of a page that came from the base: in a file of its own, or in the base of a delta.
  const { pagesOffset } = await placeOf(base);
  for (const path of paths.filter((name) => !name.includes('delta'))) {
    await spoil(path, (await placeOf(path)).pagesOffset + FREE.start + MIB);
    t.false((await verify(path)).verified, path);
  }
  t.true((await verify(base)).verified);
  await spoil(base, pagesOffset + FREE.start + MIB);
  for (const path of paths.filter((name) => name.includes('delta')))
    t.false((await verify(path)).verified, path);
});

async function placeOf(path: string): Promise<{ readonly pagesOffset: number }> {
  await using snapshot = await Snapshot.open(path);
  const block = snapshot.completeRam().blocks.find(({ id }) => id === 'pc.ram');
  return { pagesOffset: block?.area.pagesOffset ?? Number.NaN };
}

qemuTest(
  'a capture goes over an old file, behind the beginning of a file, and twice out of the same guest',
  async (t) => {
    await using volume = await LoopVolume.mount('xfs', 1000);
    await using fallback = await temporaryDirectory();
    const dir = volume ?? fallback;
    const base = dir.file('base.mr');
    await makeBase(base);
    await using guest = await restoreGuest(base, SETUP, { after: 'stop' });
    await poke(guest, scattered(FREE.start + PAGE, 8 * MIB, 3, 2));
    for (const [form, options] of FORMS) {
      const path = dir.file(`${form}.mr`);
      await writeFile(path, 'an old file');
      await t.throwsAsync(save(guest.qmp, path, options), { code: 'ERR_MAPPED_RAM_EXISTS' }, form);
      t.is(await readFile(path, 'utf8'), 'an old file');
      const first = await save(guest.qmp, path, { ...options, overwrite: true });
      await assertMemory(t, guest, path, form);
      const again = await save(guest.qmp, path, { ...options, overwrite: true });
      await assertMemory(t, guest, path, `${form}, again`);
      t.is(again.runState, 'paused');
      t.deepEqual(again.capture?.changedBytes, first.capture?.changedBytes);
      const volumePath = dir.file(`${form}.volume`);
      const header = Buffer.alloc(131_072, 'the header of a volume');
      await writeFile(volumePath, header);
      const placed = await save(guest.qmp, `file:${volumePath},offset=131072`, options);
      t.is(placed.offset, 131_072);
      t.is(placed.capture?.form, form === 'all' ? 'whole' : 'delta', form);
      t.deepEqual((await readFile(volumePath)).subarray(0, header.length), header);
      t.is(await recorded(volumePath, 131_072), 'paused');
      await using snapshot = await Snapshot.open({ path: volumePath, offset: 131_072 });
      const [wanted, found] = [
        await guest.readBlock('pc.ram', FREE.start, 32 * MIB),
        await snapshot.read('pc.ram', FREE.start, 32 * MIB),
      ];
      t.is(Buffer.compare(wanted, found), 0, form);
    }
    // A whole snapshot may take the place of its own base, which QEMU keeps.
    if (volume !== undefined) {
      const saved = await save(guest.qmp, base, { base: 'auto', overwrite: true });
      t.is(saved.capture?.form, 'whole');
      await assertMemory(t, guest, base, 'in place of its base');
      await t.throwsAsync(save(guest.qmp, dir.file('next.mr'), { base: 'auto' }), {
        message: /not lead to that file/,
      });
    }
    const before = await guest.checkMemory();
    t.true((await guest.assertAlive()).generation > before.generation);
    await guest.close();
    await assertRestores(t, dir.file('auto.mr'), SETUP);
  },
);

qemuTest('a capture of a guest that has not run yet starts it from the beginning', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('prelaunch.mr');
  {
    await using guest = await startGuest({ ...SETUP, extraArgs: ['-S'] });
    t.is(await guest.runState(), 'prelaunch');
    const saved = await save(guest.qmp, path);
    t.is(saved.writer, 'engine', saved.writerWhy);
    t.is(saved.runState, 'prelaunch');
    await assertMemory(t, guest, path, 'prelaunch');
    // The guest may go on from there.
    await guest.cont();
    await guest.waitForGenerations(1);
  }
  t.is(await recorded(path), 'prelaunch');
  {
    await using guest = await restoreGuest(path, SETUP, {});
    await guest.cont();
    await guest.waitForGenerations(2);
    const delta = dir.file('delta.mr');
    await save(guest.qmp, delta, { base: 'auto', after: 'stop' });
    await assertMemory(t, guest, delta, 'delta');
  }
});

qemuTest('after: cont lets a guest run that stood still, and its capture says paused', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(1);
  await guest.stop();
  const saved = await save(guest.qmp, dir.file('paused.mr'), { after: 'cont' });
  t.is(saved.runState, 'running');
  t.is(saved.pauseMs, undefined);
  t.is(await recorded(dir.file('paused.mr')), 'paused');
  await guest.waitForGenerations(1);
});

qemuTest('a guest that is asleep is captured only to end, and stays asleep otherwise', async (t) => {
  await using dir = await temporaryDirectory();
  await using qemu = await startFatedGuest(await fatedGuestArgs(dir.file('disk'), 'suspended'), 'suspended');
  const { qmp } = qemu;
  await t.throwsAsync(save(qmp, dir.file('asleep.mr')), { message: /asleep/ });
  await untilState(qmp, 'suspended');
  const saved = await save(qmp, dir.file('asleep.mr'), { after: 'quit' });
  t.is(saved.writer, 'engine', saved.writerWhy);
  t.is(saved.runState, undefined);
  t.is(await recorded(dir.file('asleep.mr')), 'suspended');
  t.deepEqual(await qemu.exited, { code: 0, signal: null });
});

/** Bytes of the guest's memory that QEMU's process has in memory, in pages of its own and of files. */
async function resident(guest: TestGuest): Promise<number> {
  const block = (await guest.ramBlocks()).find(({ id }) => id === 'pc.ram');
  const start = block?.hva ?? Number.NaN;
  const end = start + (block?.usedLength ?? Number.NaN);
  let sum = 0;
  let isInside = false;
  for (const line of (await readFile(`/proc/${guest.qemu.pid}/smaps`, 'latin1')).split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    if (from !== undefined && to !== undefined) {
      isInside = Number(`0x${from}`) < end && start < Number(`0x${to}`);
    } else if (isInside) {
      sum += Number(/^Rss:\s+(\d+) kB/.exec(line)?.[1] ?? 0) * 1024;
    }
  }
  return sum;
}

qemuTest('an incremental save reads nothing of the base, and brings nothing into QEMU', async (t) => {
  await using volume = await LoopVolume.mount('xfs', 1000);
  await using other = await temporaryDirectory();
  for (const dir of volume === undefined ? [other] : [volume, other]) {
    const base = dir.file('base.mr');
    await makeBase(base);
    await dropPageCache(base);
    await using guest = await restoreGuest(base, SETUP, { after: 'stop' });
    await poke(guest, scattered(FREE.start, 8 * MIB, 2, 2));
    const cached = (): number => pageCacheState(base)?.cachedBytes ?? Number.NaN;
    for (const [form, options] of FORMS.slice(1)) {
      const before = [cached(), await resident(guest)] as const;
      const saved = await save(guest.qmp, dir.file(`${form}.mr`), options);
      t.is(saved.capture?.form, dir === volume && form === 'auto' ? 'whole' : 'delta');
      const grown = [cached() - before[0], (await resident(guest)) - before[1]] as const;
      t.log(
        `${form}: ${before[0]} bytes of the base cached, ${grown[0]} more; QEMU ${before[1]}, ${grown[1]} more`,
      );
      // A restore on ext4 may have read all of it already.
      if (before[0] > 48 * MIB) t.log('NOT TELLING: the base was in the page cache before');
      // The head, the bitmaps and the tail are read, and the kernel reads ahead.
      t.true(grown[0] <= MIB, `${grown[0]} bytes more of the base in the page cache`);
      t.true(before[1] > 0);
      // One page is read to find out whether it may be.
      t.true(grown[1] <= 65_536, `${grown[1]} bytes more of the guest in QEMU`);
      await assertMemory(t, guest, dir.file(`${form}.mr`), form);
    }
  }
});
