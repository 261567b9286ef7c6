import { spawnSync } from 'node:child_process';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';

import { attach, MappedRamError, planSave, save, type SaveOptions, Snapshot } from '../../ts/index.ts';
import {
  assertMemory,
  assertRestores,
  BINARIES,
  digestOf,
  FREE,
  PAGE,
  poke,
  scattered,
  SETUP,
  zeros,
} from '../save/captured-guest.ts';
import { LoopVolume } from '../support/loop-volume.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const SIZE_MIB = 700;

for (const [kind, binary] of [
  ['xfs', BINARIES.at(-1) ?? QEMU_BINARY],
  ['btrfs', QEMU_BINARY],
] as const) {
  qemuTest(
    `${kind}: a snapshot of a clone shares the blocks of its base, and needs it no more: ${binary}`,
    async (t) => {
      await using volume = await LoopVolume.mount(kind, SIZE_MIB);
      if (volume === undefined) {
        t.pass('this machine has no such filesystem');
        return;
      }
      const setup = { ...SETUP, binary };
      const base = volume.file('base.mr');
      {
        await using guest = await startGuest(setup);
        await guest.waitForGenerations(2);
        await guest.stop();
        await poke(guest, scattered(FREE.start, FREE.length, 1, 1));
        await save(guest.qmp, base, { writer: 'engine' });
      }
      const digest = await digestOf(base);
      let path = '';
      const cases: readonly [string, number, () => Iterable<{ offset: number; bytes: Uint8Array }>][] = [
        ['nothing', 1.05, () => []],
        ['one piece', 1.05, () => [{ offset: FREE.start + MIB, bytes: Buffer.alloc(16 * MIB, 'one piece') }]],
        ['runs of 16 pages', 1.05, () => runs(16)],
        ['single pages', kind === 'xfs' ? 1.2 : 1.05, () => scattered(FREE.start, FREE.length, 16, 2)],
      ];
      for (const [number, [what, factor, pieces]] of cases.entries()) {
        // Nothing is removed meanwhile: XFS gives blocks back when it likes.
        path = volume.file(`clone${number}.mr`);
        const used = await volume.used();
        {
          await using guest = await restoreGuest(base, setup, { after: 'stop' });
          await poke(guest, pieces());
          const saved = await save(guest.qmp, path, { base: 'auto' });
          t.deepEqual(saved.warnings, [], what);
          t.like(saved.capture, { form: 'whole', base, bytesInPause: 0 }, what);
          const grown = (await volume.used()) - used;
          const changed = saved.capture?.changedBytes ?? 0;
          t.log(`${what}: ${changed} bytes changed, ${grown} more in use`);
          t.true(grown <= changed * factor + 2 * MIB, `${what}: ${grown} bytes more for ${changed}`);
          await assertMemory(t, guest, path, what);
        }
        t.is(await digestOf(base), digest, what);
        const names = Array.from({ length: number + 1 }, (_, index) => `clone${index}.mr`);
        t.deepEqual((await readdir(volume.path)).toSorted(), ['base.mr', ...names], what);
      }
      {
        await using guest = await restoreGuest(base, setup, { after: 'stop' });
        const options = { base: 'auto', overwrite: true } as const;
        t.deepEqual((await planSave(guest.qmp, path, options)).notes, []);
        const { notes } = await planSave(guest.qmp, base, options);
        t.like(notes[0], { rule: 'base-replaced', effect: 'warn' });
        t.regex((await save(guest.qmp, base, options)).warnings.join(), /takes the name of its own base/);
        await assertMemory(t, guest, base, 'in the place of its base');
      }
      await rm(base);
      await assertRestores(t, path, setup, { alone: true });
    },
  );

  qemuTest(`${kind}: five links, each the base of the next, in both forms: ${binary}`, async (t) => {
    await using volume = await LoopVolume.mount(kind, SIZE_MIB);
    if (volume === undefined) {
      t.pass('this machine has no such filesystem');
      return;
    }
    const setup = { ...SETUP, binary };
    let from = volume.file('link0.mr');
    {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      await guest.stop();
      await poke(guest, scattered(FREE.start, FREE.length / 2, 1, 0));
      await save(guest.qmp, from, { writer: 'engine' });
    }
    for (const link of [1, 2, 3, 4, 5]) {
      await using guest = await restoreGuest(from, setup, {});
      await guest.waitForGenerations(1);
      await guest.stop();
      // Each link has pages of its own, pages of the last link that become zero, and pages where the base has none.
      await poke(guest, [
        ...scattered(FREE.start + link * PAGE, FREE.length / 2, 64, link),
        zeros(FREE.start + link * 7 * MIB - 64 * PAGE, 100 * PAGE),
        ...scattered(FREE.start + FREE.length / 2 + link * PAGE, 4 * MIB, 32, link),
      ]);
      const [path, delta] = [volume.file(`link${link}.mr`), volume.file(`delta${link}.mr`)];
      const how: SaveOptions = {
        base: 'auto',
        after: 'stop',
        ...(link === 3 ? { maxCopyMemory: 3 * MIB } : {}),
      };
      const whole = await save(guest.qmp, path, how);
      t.like(whole.capture, { form: 'whole', base: from });
      t.is((whole.capture?.bytesInPause ?? 0) > 0, link === 3);
      const small = await save(guest.qmp, delta, { ...how, form: 'delta' });
      t.like(small.capture, { form: 'delta', base: from });
      await assertMemory(t, guest, path, `link ${link}`);
      await assertMemory(t, guest, delta, `delta ${link}`);
      if (link === 5) await assertRestores(t, delta, setup);
      await rm(delta);
      await rm(from);
      from = path;
    }
    await assertRestores(t, from, setup, { alone: true });
  });

  qemuTest(
    `${kind}: a base on another filesystem, and a place in the middle of a file, make it a delta`,
    async (t) => {
      await using volume = await LoopVolume.mount(kind, SIZE_MIB);
      if (volume === undefined) {
        t.pass('this machine has no such filesystem');
        return;
      }
      await using dir = await temporaryDirectory();
      const base = volume.file('base.mr');
      {
        await using guest = await startGuest(SETUP);
        await guest.waitForGenerations(1);
        await save(guest.qmp, base, { writer: 'engine' });
      }
      await using guest = await restoreGuest(base, SETUP, { after: 'stop' });
      for (const [target, path, offset] of [
        [dir.file('elsewhere.mr'), dir.file('elsewhere.mr'), 0],
        [`file:${volume.file('middle.mr')},offset=65536`, volume.file('middle.mr'), 65_536],
      ] as const) {
        const saved = await save(guest.qmp, target, { base: 'auto' });
        t.is(saved.capture?.form, 'delta', target);
        t.is(saved.offset, offset);
        await using snapshot = await Snapshot.open({ path, offset });
        t.is(snapshot.base?.path, base, target);
        const error = await t.throwsAsync(
          save(guest.qmp, target, { base: 'auto', form: 'whole', overwrite: true }),
          { instanceOf: MappedRamError },
        );
        t.is(error?.code, 'ERR_MAPPED_RAM_UNSUPPORTED', error?.message);
        t.is(await guest.runState(), 'paused');
      }
    },
  );
}

/** Words of a command line; no word here has a blank in it. */
function words(...lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => line.split(' '));
}

function* runs(
  pages: number,
): Generator<{ readonly offset: number; readonly bytes: Uint8Array }, void, void> {
  for (let offset = FREE.start; offset < FREE.start + FREE.length; offset += 4 * pages * PAGE) {
    yield { offset, bytes: Buffer.alloc(pages * PAGE, `runs at ${offset};`) };
  }
}

qemuTest('memory that QEMU gives back to a file of its own is not the base again', async (t) => {
  await using volume = await LoopVolume.mount('xfs', SIZE_MIB);
  if (volume === undefined || spawnSync('gdb', ['--version']).status !== 0) {
    t.pass('NOT TRIED: this machine has no such filesystem, or no gdb');
    return;
  }
  await using dir = await temporaryDirectory();
  const [base, own] = [volume.file('base.mr'), dir.file('m1.ram')];
  const setup = { ...SETUP, numa: true } as const;
  const [start, length] = [8 * MIB, 4 * MIB];
  {
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(1);
    await guest.stop();
    await poke(guest, scattered(start, length, 1, 1), 'm1');
    await save(guest.qmp, base, { writer: 'engine' });
  }
  await using snapshot = await Snapshot.open(base);
  const offset = snapshot.completeRam().blocks.find(({ id }) => id === 'm0')?.area.pagesOffset;
  await writeFile(own, '');
  await truncate(own, 64 * MIB);
  const file = 'memory-backend-file,size=64M,share=off';
  await using guest = await startGuest({
    ...setup,
    memoryArgs: words(
      '-m 128M -numa node,memdev=m0 -numa node,memdev=m1',
      `-object ${file},id=m0,mem-path=${base},offset=${offset},readonly=on,rom=off`,
      `-object ${file},id=m1,mem-path=${own}`,
    ),
    incoming: true,
  });
  await attach(guest.qmp, snapshot, { mode: 'instant', blocks: ['m0'], after: 'stop' });
  await assertMemory(t, guest, base, 'attached');
  await discard(guest, 'm1', { start, length, path: own });
  t.false((await guest.readBlock('m1', start, length)).some((byte) => byte !== 0));
  for (const form of ['whole', 'delta'] as const) {
    for (const maxCopyMemory of [undefined, 0]) {
      const [path, what] = [volume.file(`${form}.mr`), `${form}, copy of ${maxCopyMemory}`];
      const saved = await save(guest.qmp, path, { base: 'auto', form, maxCopyMemory, overwrite: true });
      t.like(saved.capture, { form, base }, what);
      await assertMemory(t, guest, path, what);
    }
  }
});

/** Gives memory back as QEMU does for a balloon: a hole in the file, and no page in the process. */
async function discard(
  guest: TestGuest,
  id: string,
  { start, length, path }: { readonly start: number; readonly length: number; readonly path: string },
): Promise<void> {
  const block = (await guest.ramBlocks()).find((row) => row.id === id);
  const call = `call (int)madvise(${(block?.hva ?? 0) + start}, ${length}, 4)`;
  spawnSync('fallocate', ['-p', '-o', String(start), '-l', String(length), path]);
  spawnSync('gdb', ['-p', String(guest.qemu.pid), '-batch', '-ex', call], { timeout: 60_000 });
}
