import { chmod, mkdir, readFile, readdir, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { Snapshot, verify } from '../../ts/index.ts';
import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { withHugePages } from '../bench/ours/huge-page-pool.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { guestArgs } from '../support/qemu-setup.ts';
import { program as programOf, projectOf, runRecipe as run } from '../support/recipe.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';

const RECIPES = new URL('../../docs/recipes.md', import.meta.url);
const NOBODY = 65_534;

const program = (heading: string): Promise<string> => programOf(RECIPES, heading);
const project = (heading: string): Promise<TemporaryDirectory> => projectOf(RECIPES, heading);

test('every recipe has a program, and a test of this file runs it', async (t) => {
  const headings = [...(await readFile(RECIPES, 'utf8')).matchAll(/^## (.*)$/gm)].map(
    ([, heading]) => heading,
  );
  const tests = await readFile(new URL(import.meta.url), 'utf8');
  t.true(headings.length > 2);
  for (const heading of headings) {
    t.true((await program(heading ?? '')).includes("from 'mapped-ram'"), heading);
    t.true(tests.includes(`project('${heading}')`), heading);
  }
});

qemuTest('runners start warm from one snapshot, and go on each for itself', async (t) => {
  await using dir = await project('Warm-start CI runners from one snapshot');
  const snapshot = dir.file('warm.mr');
  await saveGuest({}, snapshot);
  await chmod(snapshot, 0o400);
  for (const n of [0, 1, 2]) {
    await mkdir(dir.file(String(n)));
    await writeGuestDisk(dir.file(`${n}/boot.img`));
  }
  const recipe = run(dir, [snapshot, '3', QEMU_BINARY, ...guestArgs({}, dir.file('{n}'))]);
  await recipe.said(/runner 2: running after \d+ ms/);
  for (const n of [0, 1, 2]) {
    while ((await readFile(dir.file(`${n}/serial`), 'latin1')).length < 2) await delay(20);
  }
  const processes = [...recipe.output().matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid));
  t.is(new Set(processes).size, 3);
  for (const pid of processes) process.kill(pid, 'SIGTERM');
  t.is(await recipe.ended, 0, recipe.output());
});

qemuTest('a guest gets huge pages from a snapshot', async (t) => {
  const heading = 'A guest in huge pages from a snapshot in seconds';
  await using dir = await projectOf(new URL('../../docs/lazy.md', import.meta.url), heading);
  await saveGuest({}, dir.file('guest.mr'));
  await writeGuestDisk(dir.file('boot.img'));
  await withHugePages(t, 160, async () => {
    const recipe = run(dir, ['guest.mr', QEMU_BINARY, ...guestArgs({}, dir.path)]);
    await recipe.said(/^all memory there after \d+ ms, \d+ pages asked for$/m);
    const [, pid] = /^running after \d+ ms, process (\d+)$/m.exec(recipe.output()) ?? [];
    const memory = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1');
    const [, kilobytes] = /Shared_Hugetlb: +(\d+)|Private_Hugetlb: +([1-9]\d*)/.exec(memory) ?? [];
    t.true(kilobytes !== undefined, memory);
    while ((await readFile(dir.file('serial'), 'latin1')).length < 2) await delay(20);
    recipe.kill('SIGTERM');
    t.is(await recipe.ended, 0, recipe.output());
  });
});

qemuTest('branches go on from a checkpoint, and the agent goes on beside them', async (t) => {
  await using dir = await project('Agent sandbox with checkpoints and branches');
  await saveGuest({}, dir.file('ready.mr'));
  const names = ['agent', 'left', 'right'];
  for (const name of ['ready', 'checkpoint', 'left-later', ...names]) await mkdir(dir.file(name));
  await writeGuestDisk(dir.file('ready/boot.img'));
  const disk = dir.file('{name}/boot.img');
  const recipe = run(dir, ['ready.mr', disk, QEMU_BINARY, ...guestArgs({}, dir.file('{name}'))]);
  t.is(await recipe.ended, 0, recipe.output());
  t.regex(recipe.output(), /\/checkpoint\.mr: (delta|whole), \d+ bytes had changed$/m);
  for (const name of names) {
    t.regex(recipe.output(), new RegExp(`^${name} goes on from \\S+\\.mr: running$`, 'm'));
    t.true((await readFile(dir.file(`${name}/serial`), 'latin1')).length > 2, name);
  }
  for (const name of ['checkpoint', 'left-later']) {
    t.true((await verify(dir.file(`${name}.mr`))).verified);
    t.true((await stat(dir.file(`${name}/boot.img`))).size > 0);
  }
});

qemuTest(
  'a guest that boots on an empty file, and its clone, are saved as what they have written',
  async (t) => {
    await using dir = await project('Snapshots in proportion from the first boot');
    const setup = { memoryMiB: 512, region: { start: 16 * MIB, length: 8 * MIB } };
    await writeGuestDisk(dir.file('boot.img'), setup.region);
    const [empty, snapshot] = [dir.file('empty.ram'), dir.file('guest.mr')];
    const recipe = run(dir, ['2', empty, snapshot, QEMU_BINARY, ...guestArgs(setup, dir.path)]);
    t.is(await recipe.ended, 0, recipe.output());
    const written = [...recipe.output().matchAll(/^(booted|clone): .*, (\d+) MiB written/gm)];
    t.deepEqual(
      written.map(([, what]) => what),
      ['booted', 'clone'],
      recipe.output(),
    );
    for (const [, what, mib] of written) t.true(Number(mib) >= 8 && Number(mib) <= 32, `${what}: ${mib}`);
    t.is((await stat(empty)).blocks, 0);
    for (const path of [snapshot, `${snapshot}.delta`]) {
      await using guest = await restoreGuest(path, setup, {});
      await guest.assertAlive();
    }
  },
);

async function guestWithSocket(dir: TemporaryDirectory, ...more: readonly string[]): Promise<TestGuest> {
  const guest = await startGuest({
    extraArgs: ['-qmp', `unix:${dir.file('qmp')},server=on,wait=off`, ...more],
  });
  await guest.waitForGenerations(1);
  return guest;
}

qemuTest('a guest is kept when its keeper is told to end', async (t) => {
  await using dir = await project('Snapshot on SIGTERM');
  await using guest = await guestWithSocket(dir);
  const recipe = run(dir, [dir.file('qmp'), dir.file('guest.mr')]);
  await recipe.said(/waiting/);
  recipe.kill('SIGTERM');
  t.is(await recipe.ended, 0, recipe.output());
  t.regex(recipe.output(), /guest\.mr: \d+ bytes, written by engine in \d+ ms/);
  t.is((await guest.qemu.exited).code, 0);
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  t.true(snapshot.index.complete);
});

qemuTest('a QEMU that may open nothing is saved all the same', async (t) => {
  await using dir = await project('Save a confined QEMU through descriptors');
  await mkdir(dir.file('private'), { mode: 0o700 });
  // The recipe and QEMU have the same user unless the tests run as root.
  const isRoot = process.getuid?.() === 0;
  await using guest = await guestWithSocket(dir, ...(isRoot ? ['-run-with', 'user=nobody'] : []));
  // QEMU lets go of the guest's disk for a save and opens it again, so its user must reach the disk.
  await chmod(guest.directory, 0o755);
  await chmod(`${guest.directory}/boot.img`, 0o666);
  const { uid } = await stat(`/proc/${guest.qemu.pid}`);
  t.is(uid, isRoot ? NOBODY : uid);
  const recipe = run(dir, [dir.file('qmp'), dir.file('private/guest.mr')]);
  t.is(await recipe.ended, 0, recipe.output());
  t.regex(recipe.output(), /^O_DIRECT is (on|off): .+\n.*guest\.mr: complete, after \d+ ms\n$/);
  t.deepEqual(await readdir(dir.file('private')), ['guest.mr']);
  await guest.assertAlive();
});
