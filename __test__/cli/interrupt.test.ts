import type { ChildProcess } from 'node:child_process';
import { open, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { PAGE, syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { runCli } from './run-cli.ts';

/** Size of an input that takes many seconds when it is written a page at a time with O_DIRECT. */
const DENSE_BYTES = 256 * 1024 * 1024;
/** Size of an input without data. Zero pages cost time too: the engine looks at each. */
const SPARSE_BYTES = 2 ** 40;
const SLOWLY = ['--channels', '1', '--queue-depth', '1', '--request-size', '4K'];

async function writeInputs(
  dir: TemporaryDirectory,
  length: number,
  isDense: boolean,
): Promise<readonly string[]> {
  const [state, ram] = [dir.file('state'), dir.file('ram')];
  await writeFile(state, syntheticState({ blocks: [{ id: 'pc.ram', length }] }));
  const handle = await open(ram, 'w');
  const piece = Buffer.alloc(256 * PAGE, 'x');
  if (isDense)
    for (let at = 0; at < length; at += piece.length) await handle.write(piece, 0, piece.length, at);
  await handle.truncate(length);
  await handle.close();
  return ['--state', state, '--ram', `pc.ram=${ram}`];
}

/** Waits until a file in the directory has data, and a little longer. */
async function untilWriting(directory: string, child: ChildProcess): Promise<void> {
  while ((await blocksIn(directory)) === 0) {
    assertRunning(child);
    await delay(5);
  }
  await delay(200);
  assertRunning(child);
}

/** The room on the disk of the files in a directory, in blocks of 512 bytes. */
async function blocksIn(directory: string): Promise<number> {
  const names = await readdir(directory);
  const sizes = names.map((name) =>
    stat(join(directory, name)).then(
      (stats) => stats.blocks,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, blocks) => sum + blocks, 0);
}

function assertRunning(child: ChildProcess): void {
  if (child.exitCode !== null) throw new Error(`pack has ended already, with ${child.exitCode}`);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test.serial(`${signal} in the middle of a pack leaves nothing behind; exit code ${code}`, async (t) => {
    await using inputs = await temporaryDirectory();
    await using outputs = await temporaryDirectory();
    const args = await writeInputs(inputs, DENSE_BYTES, true);
    const target = outputs.file('guest.mr');
    const run = await runCli(['pack', target, ...args, ...SLOWLY], {
      meanwhile: async (child) => {
        await untilWriting(outputs.path, child);
        child.kill(signal);
      },
    });
    t.is(run.code, code, run.stderr);
    t.is(run.stdout, '');
    t.is(run.stderr, `mapped-ram: interrupted by ${signal}\n`);
    t.deepEqual(await readdir(outputs.path), []);
    t.deepEqual((await readdir(inputs.path)).toSorted(), ['ram', 'state']);
  });
}

test.serial('SIGINT ends a pack of sparse memory too, and an existing snapshot stays', async (t) => {
  await using inputs = await temporaryDirectory();
  await using outputs = await temporaryDirectory();
  const args = await writeInputs(inputs, SPARSE_BYTES, false);
  const target = outputs.file('guest.mr');
  await writeFile(target, 'what was there before');
  const run = await runCli(['pack', target, ...args, ...SLOWLY, '--force', '--json'], {
    meanwhile: async (child) => {
      while ((await readdir(outputs.path)).length < 2) {
        assertRunning(child);
        await delay(1);
      }
      child.kill('SIGINT');
    },
  });
  t.is(run.code, 130, run.stderr);
  t.like(run.json(), { schemaVersion: 1, error: { code: 'ABORT_ERR', message: 'interrupted by SIGINT' } });
  t.deepEqual(await readdir(outputs.path), ['guest.mr']);
  t.is((await stat(target)).size, 'what was there before'.length);
});
