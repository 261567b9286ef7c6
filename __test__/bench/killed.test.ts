import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { removeAbandonedFolders } from '../../ts/bench/abandoned-folders.ts';
import { OwnFolder } from '../../ts/bench/own-folder.ts';
import { runCli } from '../cli/run-cli.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { benchFolders } from './left-behind.ts';
import { runningWith } from './running-with.ts';

const SMALL = ['--size', '16MiB', '--rounds', '1', '--work', 'verify'];

/** A QEMU with memory in /dev/shm may be ended by any other bench meanwhile, which finds the folder there. */
function isRestored(line: string): boolean {
  return line.includes('mapped-ram-qmp') && !line.includes('/dev/shm/');
}

qemuTest('the bench after one that was killed takes away its files and ends its QEMU', async (t) => {
  await using dir = await temporaryDirectory();
  let killed = 0;
  const run = await runCli(['bench', '--dir', dir.path, '--size', '64MiB', '--work', 'restore'], {
    meanwhile: async (child) => {
      killed = child.pid ?? 0;
      while (!runningWith(dir.path).some(({ pid, line }) => pid !== killed && isRestored(line))) {
        if (child.exitCode !== null) throw new Error(`the bench has ended already, with ${child.exitCode}`);
        await delay(5);
      }
      child.kill('SIGKILL');
    },
  });
  t.is(run.signal, 'SIGKILL');
  const left = benchFolders(dir.path, killed);
  t.is(left.length, 1);
  t.true(runningWith(dir.path).length > 0, 'QEMU does not end by itself');
  const next = await runCli(['bench', '--dir', dir.path, ...SMALL]);
  t.is(next.code, 0, next.stderr);
  t.true(next.stderr.includes(`removed what a killed bench left: ${dir.file(left[0] ?? '')}`), next.stderr);
  t.deepEqual(await readdir(dir.path), []);
  t.deepEqual(benchFolders('/dev/shm', killed), []);
  t.deepEqual(runningWith(dir.path), []);
});

test('only folders whose owner is known to be gone are removed', async (t) => {
  await using dir = await temporaryDirectory();
  const make = async (name: string, mark: string | undefined): Promise<string> => {
    const path = dir.file(name);
    await mkdir(path, { mode: 0o700 });
    await writeFile(`${path}/guest.ram`, 'memory');
    if (mark !== undefined) await writeFile(`${path}/${mark}`, '');
    return path;
  };
  await using living = await OwnFolder.create(dir.path);
  await writeFile(living.file('guest.ram'), 'memory');
  const abandoned = await make('mapped-ram-bench-1-aaaaaa', 'owner');
  await make('mapped-ram-bench-1-bbbbbb', undefined);
  await make('mapped-ram-bench-1-cccccc', 'other');
  await make('mapped-ram-bench-of-mine', 'owner');
  await chmod(await make('mapped-ram-bench-1-dddddd', 'owner'), 0o770);
  await symlink('mapped-ram-bench-of-mine', dir.file('mapped-ram-bench-1-eeeeee'));
  const before = await readdir(dir.path);
  t.deepEqual(await removeAbandonedFolders([dir.path, dir.path, dir.file('none')]), [abandoned]);
  t.deepEqual(
    (await readdir(dir.path)).toSorted(),
    before.filter((name) => !abandoned.endsWith(name)).toSorted(),
  );
  t.deepEqual((await readdir(living.path)).toSorted(), ['guest.ram', 'owner']);
});

test('a folder is gone with its owner', async (t) => {
  await using dir = await temporaryDirectory();
  const folder = await OwnFolder.create(dir.path);
  await writeFile(folder.file('guest.ram'), 'memory');
  await folder[Symbol.asyncDispose]();
  t.deepEqual(await readdir(dir.path), []);
  await t.throwsAsync(OwnFolder.create(dir.file('none')), { code: 'ERR_MAPPED_RAM_IO' });
});
