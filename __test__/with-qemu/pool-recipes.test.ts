import { mkdir, readFile } from 'node:fs/promises';

import test from 'ava';

import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { guestArgs, type GuestSetup } from '../support/qemu-setup.ts';
import { program, projectOf, runRecipe } from '../support/recipe.ts';
import { saveGuest } from '../support/restored-guest.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';

const DOCUMENT = new URL('../../docs/pool.md', import.meta.url);
const project = (heading: string): Promise<TemporaryDirectory> => projectOf(DOCUMENT, heading);

test('every program of the document is run by a test of this file', async (t) => {
  const headings = [...(await readFile(DOCUMENT, 'utf8')).matchAll(/^## (.*)$/gm)].flatMap(
    ([, heading]) => heading ?? [],
  );
  const tests = await readFile(new URL(import.meta.url), 'utf8');
  const withPrograms = [];
  for (const heading of headings) if ((await program(DOCUMENT, heading)) !== '') withPrograms.push(heading);
  t.is(withPrograms.length, 2);
  for (const heading of withPrograms) t.true(tests.includes(`project('${heading}')`), heading);
});

/** Makes the folder of each guest that the recipe may start. */
async function makeFolders(dir: TemporaryDirectory, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await mkdir(dir.file(String(n)));
    await writeGuestDisk(dir.file(`${n}/boot.img`));
  }
}

qemuTest('each job has a runner out of the pool, until the runner ends', async (t) => {
  await using dir = await project('CI runners from a pool');
  const snapshot = dir.file('warm.mr');
  await saveGuest({}, snapshot);
  await makeFolders(dir, 8);
  const recipe = runRecipe(dir, [snapshot, '4', QEMU_BINARY, ...guestArgs({}, dir.file('{n}'))]);
  await recipe.said(/job 3: runner \d after \d+ ms/);
  const processes = [...recipe.output().matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid));
  t.is(new Set(processes).size, 4);
  for (const pid of processes) process.kill(pid, 'SIGTERM');
  t.is(await recipe.ended, 0, recipe.output());
  t.regex(recipe.output(), /^4 jobs done$/m);
});

qemuTest('each input of the fuzzing loop meets a guest of its own', async (t) => {
  await using dir = await project('Fuzzing loop with reset');
  const snapshot = dir.file('warm.mr');
  const setup = (n: string): GuestSetup => ({
    extraArgs: [
      '-chardev',
      `socket,id=in,path=${dir.file(`${n}.sock`)},server=on,wait=off`,
      '-serial',
      'chardev:in',
    ],
  });
  await saveGuest(setup('saved'), snapshot);
  await makeFolders(dir, 4);
  const args = guestArgs(setup('{n}'), dir.file('{n}'));
  const recipe = runRecipe(dir, [snapshot, '10', dir.file('{n}.sock'), QEMU_BINARY, ...args]);
  t.is(await recipe.ended, 0, recipe.output());
  t.is(recipe.output(), '10 inputs\n');
});
