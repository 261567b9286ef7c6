import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { runCli } from '../cli/run-cli.ts';
import { descendantsOf } from '../../ts/host/process-tree.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { benchFolders } from './left-behind.ts';

const NO_QEMU = { env: { MAPPED_RAM_QEMU: '/nonexistent/qemu' } };

/** True while there is a process of this number. */
function isThere(pid: number): boolean {
  return (
    readdirSync('/proc').includes(String(pid)) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  );
}

/** Waits until the child has processes of its own and files, and a time more; returns those processes. */
async function atWork(directory: string, child: ChildProcess, ms: number): Promise<readonly number[]> {
  const { pid = 0 } = child;
  while ((await readdir(directory)).length === 0 || descendantsOf(pid).length === 0) {
    if (child.exitCode !== null) throw new Error(`the bench has ended already, with ${child.exitCode}`);
    await delay(5);
  }
  await delay(ms);
  // Between two turns there may be none.
  for (;;) {
    const children = descendantsOf(pid);
    if (children.length > 0 || child.exitCode !== null) return children;
    await delay(5);
  }
}

for (const [signal, after, work] of [
  ['SIGINT', 0, 'save,load,verify,diff,restore'],
  ['SIGTERM', 700, 'save'],
  ['SIGINT', 2500, 'save'],
  ['SIGTERM', 1500, 'load'],
  ['SIGINT', 700, 'verify'],
  ['SIGTERM', 1500, 'restore'],
  ['SIGINT', 2500, 'restore'],
] as const) {
  test.serial(`${signal} ${after} ms into ${work} leaves no file and no process`, async (t) => {
    await using dir = await temporaryDirectory();
    const seen: { own: number; children: readonly number[] } = { own: 0, children: [] };
    const run = await runCli(['bench', '--dir', dir.path, '--size', '128MiB', '--work', work], {
      meanwhile: async (child) => {
        seen.own = child.pid ?? 0;
        seen.children = await atWork(dir.path, child, after);
        t.true(benchFolders('/dev/shm', seen.own).length > 0);
        child.kill(signal);
      },
    });
    t.is(run.code, signal === 'SIGINT' ? 130 : 143, run.stderr);
    t.is(run.stdout, '');
    t.true(run.stderr.endsWith(`mapped-ram: interrupted by ${signal}\n`), run.stderr);
    t.deepEqual(await readdir(dir.path), []);
    t.deepEqual(benchFolders('/dev/shm', seen.own), []);
    t.true(seen.children.length > 0);
    t.deepEqual(
      seen.children.filter((pid) => isThere(pid)),
      [],
    );
  });
}

test.serial('a second SIGINT ends the bench at once, and leaves nothing either', async (t) => {
  await using dir = await temporaryDirectory();
  const seen: { own: number; children: readonly number[] } = { own: 0, children: [] };
  const run = await runCli(['bench', '--dir', dir.path, '--size', '128MiB', '--work', 'save'], {
    meanwhile: async (child) => {
      seen.own = child.pid ?? 0;
      seen.children = await atWork(dir.path, child, 300);
      child.kill('SIGINT');
      child.kill('SIGINT');
    },
  });
  t.is(run.code, 130, run.stderr);
  t.deepEqual(await readdir(dir.path), []);
  t.deepEqual(benchFolders('/dev/shm', seen.own), []);
  // A killed process is gone as soon as the kernel has taken it apart.
  for (let tries = 0; tries < 100 && seen.children.some(isThere); tries += 1) await delay(20);
  t.deepEqual(
    seen.children.filter((pid) => isThere(pid)),
    [],
  );
});

test.serial(
  '--json prints the report, the page has it too, and a baseline of itself is no worse',
  async (t) => {
    await using dir = await temporaryDirectory();
    await using out = await temporaryDirectory();
    const [page, baseline] = [out.file('page.html'), out.file('baseline.json')];
    const small = ['--size', '16MiB', '--quiet', '--json'];
    const args = ['bench', '--dir', dir.path, ...small, '--work', 'verify'];
    const first = await runCli([...args, '--html', page, '--save-baseline', baseline], NO_QEMU);
    t.is(first.code, 0, first.stderr);
    t.is(first.stderr, '');
    t.like(first.json(), { schemaVersion: 1, settings: { sizes: [2 ** 24], rounds: 5, transfer: {} } });
    t.regex(await readFile(page, 'utf8'), /^<!doctype html>/i);
    t.like(JSON.parse(await readFile(baseline, 'utf8')), { startedAt: first.json()['startedAt'] });
    const options = ['--baseline', baseline, '--max-regression', '99%'];
    const second = await runCli([...args, ...options], NO_QEMU);
    t.is(second.code, 0, second.stderr);
    t.like(second.json(), { comparison: { verdict: 'fine', maxRegression: 0.99 } });
    const third = await runCli([...args, ...options, '--rounds', '4'], NO_QEMU);
    t.is(third.code, 1);
    t.regex(third.stdout, /rounds of a run that is compared with a baseline: expected 5 or more, found 4/);
    t.deepEqual(await readdir(dir.path), []);
  },
);

test.serial('a table names all contenders, and steps are on stderr', async (t) => {
  await using dir = await temporaryDirectory();
  const args = ['bench', '--dir', dir.path, '--size', '16MiB', '--rounds', '1', '--work', 'diff'];
  const { code, stdout, stderr } = await runCli(args, NO_QEMU);
  t.is(code, 0, stderr);
  for (const name of ['mapped-ram io_uring, direct', 'mapped-ram threads, buffered'])
    t.true(stdout.includes(name));
  t.regex(stderr, /^ {2}✓ make files, random +[\d.]+ s$/m);
  t.regex(stderr, /^ {2}✓ diff, random, cold +[\d.]+ s$/m);
});

test.serial('wrong options are refused with the words that were expected', async (t) => {
  await using dir = await temporaryDirectory();
  for (const [args, words] of [
    [['--size', '15MiB'], /--size must be whole MiB, at least 16MiB, not '15MiB'/],
    [['--size', '16MiB,15MiB'], /--size must be whole MiB, at least 16MiB, not '15MiB'/],
    [['--size', '32MiB,16MiB,16384KiB'], /--size must not have a size twice: '16384KiB'/],
    [['--size', '1G,2G,3G,4G,5G,6G,7G,8G,9G'], /--size takes at most 8 sizes, not 9/],
    [['--size', '16MiB,'], /--size must be a size .*not ''/],
    [['--rounds', '0'], /--rounds must be a whole number from 1 to 99, not '0'/],
    [['--memory', 'random,full'], /--memory takes random, half-zero, scattered, mostly-empty.*not 'full'/],
    [['--file-state', 'hot'], /--file-state takes cold, warm, dirty.*not 'hot'/],
    [['--work', 'save,'], /--work takes save, load, verify, diff, restore.*not ''/],
    [['--max-regression', '10%'], /--max-regression needs --baseline/],
    [['--baseline', 'x', '--max-regression', '10'], /--max-regression must be a percentage/],
  ] as const) {
    const { code, stderr, stdout } = await runCli(['bench', '--dir', dir.path, ...args]);
    t.is(code, 2, stderr);
    t.is(stdout, '');
    t.regex(stderr, words);
  }
  const place = ['--html', dir.file('none/page.html')];
  const { code, stderr } = await runCli(['bench', '--dir', dir.path, ...place]);
  t.is(code, 1);
  t.regex(stderr, /none: there is no such directory/);
  t.deepEqual(await readdir(dir.path), []);
});
