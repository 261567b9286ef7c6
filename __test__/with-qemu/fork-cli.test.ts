import { readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { runCli } from '../cli/run-cli.ts';
import { startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { guestArgs } from '../support/qemu-setup.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

let dir: TemporaryDirectory;
test.before(async () => {
  dir = await temporaryDirectory();
});
test.after.always(() => dir[Symbol.asyncDispose]());

/** A guest that is reached at a socket. */
async function guestAt(socket: string): Promise<TestGuest> {
  const guest = await startGuest({ extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`] });
  await guest.waitForGenerations(2);
  return guest;
}

/** The command line of the clones, each with a folder of its own. */
async function cloneWords(count: number): Promise<readonly string[]> {
  for (let index = 0; index < count; index += 1) {
    for (const file of ['serial', 'boot.img']) await rm(dir.file(`clone-${index}-${file}`), { force: true });
    await writeGuestDisk(dir.file(`clone-${index}-boot.img`));
  }
  return [QEMU_BINARY, ...guestArgs({}, dir.path)].map((word) =>
    word
      .replace(dir.file('boot.img'), dir.file('clone-{n}-boot.img'))
      .replace(dir.file('serial'), dir.file('clone-{n}-serial'))
      .replace(dir.file('debugcon'), dir.file('clone-{n}-debugcon')),
  );
}

/** Waits until a clone writes to its serial port. */
async function untilItLives(index: number): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    const text = await readFile(dir.file(`clone-${index}-serial`), 'latin1').catch(() => '');
    if (text.length > 1) return;
    await delay(50);
  }
  throw new Error(`clone ${index} does not live`);
}

qemuTest('the command line forks a guest, and ends with its clones', async (t) => {
  await using guest = await guestAt(dir.file('qmp'));
  const words = await cloneWords(2);
  const flags = ['-n', '2', '--json'];
  const { code, json, stderr } = await runCli(['fork', dir.file('qmp'), ...flags, '--', ...words], {
    meanwhile: async (child) => {
      await untilItLives(0);
      await untilItLives(1);
      child.kill('SIGTERM');
    },
  });
  t.is(code, 143, stderr);
  t.like(json(), { schemaVersion: 1, form: 'whole', writer: 'engine' });
  t.like(json()['clones'], [
    { index: 0, runState: 'running' },
    { index: 1, runState: 'running' },
  ]);
  await guest.assertAlive();
});

qemuTest('people read what was forked; wrong numbers are wrong usage', async (t) => {
  await using guest = await guestAt(dir.file('other'));
  const words = await cloneWords(1);
  const { code, stdout, stderr } = await runCli(
    ['fork', dir.file('other'), '--after', 'stop', '--', ...words, '-pidfile', dir.file('pid-{n}')],
    {
      meanwhile: async (child) => {
        let text = '';
        child.stderr?.on('data', (data: string) => (text += data));
        // The clone is there when the report is.
        for (let tries = 0; tries < 800 && !text.includes('pause'); tries += 1) await delay(50);
        process.kill(Number(await readFile(dir.file('pid-0'), 'latin1')), 'SIGKILL');
      },
    },
  );
  t.is(code, 137, stderr);
  t.is(stdout, '');
  t.regex(stderr, /clones +0 paused \(process \d+\)/);
  t.regex(stderr, /pause +\d+\.\d ms/);
  for (const wrong of ['0', 'x', '-1']) {
    const { code: usage } = await runCli(['fork', dir.file('other'), `--clones=${wrong}`, '--', 'qemu']);
    t.is(usage, 2, wrong);
  }
  const many = await runCli(['fork', dir.file('other'), '-n', '257', '--', 'qemu']);
  t.is(many.code, 1);
  t.regex(many.stderr, /1 to 256/);
  await guest.assertAlive();
});
