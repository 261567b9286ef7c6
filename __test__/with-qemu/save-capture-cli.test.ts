import { copyFile, readdir, rm } from 'node:fs/promises';

import { runCli, type CliRun } from '../cli/run-cli.ts';
import { type GuestSetup, MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const SETUP: GuestSetup = { memoryMiB: 128, region: { start: 16 * MIB, length: 16 * MIB } };

interface Scene extends AsyncDisposable {
  readonly clone: TestGuest;
  readonly dir: TemporaryDirectory;
  /** The snapshot that the clone was restored from. */
  readonly base: string;
  readonly save: (...args: readonly string[]) => Promise<CliRun>;
}

/** A guest that was saved by the command line, with these options, and a clone of it. */
async function scene(...options: readonly string[]): Promise<Scene> {
  const dir = await temporaryDirectory();
  const place = await temporaryDirectory();
  const [socket, base] = [place.file('qmp'), place.file('base.mr')];
  const setup = { ...SETUP, extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`] };
  const save = (...args: readonly string[]): Promise<CliRun> => runCli(['save', socket, ...args]);
  {
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    const { code, stderr } = await save(base, ...options);
    if (code !== 0) throw new Error(stderr);
  }
  const clone = await restoreGuest(base, setup, {});
  await clone.waitForGenerations(1);
  return {
    clone,
    dir,
    base,
    save,
    [Symbol.asyncDispose]: async () => {
      await clone.close();
      await dir[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

qemuTest("a save out of QEMU's process says how much there was, and when it was written", async (t) => {
  await using at = await scene();
  const { dir, save, clone } = at;
  const plan = await save(dir.file('guest.mr'), '--dry-run');
  t.regex(plan.stdout, /^memory +out of QEMU's process — /m);
  t.notRegex(plan.stdout, /^base /m);
  const copied = await save(dir.file('guest.mr'));
  t.is(copied.code, 0, copied.stderr);
  t.regex(copied.stdout, /^in use +\d\S* MiB; written after the pause, out of a copy \(room for /m);
  t.regex(copied.stdout, /^memory +129 MiB$/m);
  t.notRegex(copied.stdout, /zero pages|^base|^form/m);
  const early = await save(dir.file('guest.mr'), '--force', '--max-copy-memory', '0');
  t.regex(early.stdout, /^in use .*MiB of the memory written in the pause: no copy was taken$/m);
  t.regex(early.stdout, /^memory +129 MiB$/m);
  await clone.assertAlive();
});

qemuTest('--incremental writes what differs from the snapshot that the guest is a clone of', async (t) => {
  await using at = await scene();
  const { dir, base, save, clone } = at;
  const path = dir.file('later.mr');
  const plan = await save(path, '--incremental', '--dry-run');
  t.is(plan.code, 0, plan.stderr);
  t.true(plan.stdout.includes(`base             ${base} — QEMU has mapped it\n`), plan.stdout);
  t.regex(
    plan.stdout,
    /^writer +engine — only the engine, in QEMU's process, finds what differs from the base/m,
  );
  t.regex(
    plan.stdout,
    /^form +(?:whole — the filesystem shares|delta — no file can share) the blocks of the base/m,
  );
  t.deepEqual(await readdir(dir.path), []);
  const first = await save(path, '--incremental', '--form', 'delta');
  t.is(first.code, 0, first.stderr);
  t.is(first.stderr, '');
  t.regex(first.stdout, new RegExp(`^base +${base}$`, 'm'));
  t.regex(first.stdout, /^form +delta — it was asked for$/m);
  t.regex(first.stdout, /^memory +129 MiB$/m, 'nothing of it counts twice');
  t.regex(first.stdout, /^changed +\d\S* MiB; written after the pause, out of a copy/m);
  t.regex(first.stdout, /^guest +running, stood still for \d+ ms$/m);
  const other = dir.file('other.mr');
  const small = ['--max-copy-memory', '1M', '--form', 'delta', '--json'];
  const second = await save(other, '--base', base, ...small);
  t.is(second.code, 0, second.stderr);
  t.like(second.json(), {
    writer: 'engine',
    runState: 'running',
    migration: null,
    capture: { form: 'delta', formWhy: 'it was asked for', base, copyBytes: MIB },
    plan: { base: { value: base, why: 'QEMU has mapped it' }, stateOnly: { value: true } },
  });
  const { json } = await save(path, '--dry-run', '--json', '--force');
  t.like(json(), { base: { value: null }, stateOnly: { value: true } });
  const info = await runCli(['info', path]);
  t.is(info.code, 0, info.stderr);
  t.true(info.stdout.includes(base));
  t.is((await runCli(['verify', other])).code, 0);
  const flat = await runCli(['flatten', path, dir.file('flat.mr')]);
  t.is(flat.code, 0, flat.stderr);
  t.is((await runCli(['diff', path, dir.file('flat.mr'), '--ignore-device-state'])).code, 0);
  await clone.assertAlive();
});

qemuTest(
  'an incremental save that cannot be had is refused with its reason, and the guest goes on',
  async (t) => {
    await using at = await scene();
    const { dir, base, save, clone } = at;
    const path = dir.file('later.mr');
    const copy = dir.file('copy.mr');
    await copyFile(base, copy);
    const refusals: readonly (readonly [args: readonly string[], words: RegExp])[] = [
      [['--base', copy], /QEMU has mapped \S+base\.mr, and \S+copy\.mr is another file/],
      [['--base', dir.file('none')], /QEMU has mapped \S+base\.mr, and \S+none is not there/],
      // These are no words here, but names.
      [['--base', 'auto'], /\.\/auto is not there/],
      [['--base', 'none'], /\.\/none is not there/],
      [['--incremental', '--writer', 'qemu'], /expected engine or auto with a base: QEMU writes all/],
      [['--incremental', '--live', 'on'], /only QEMU follows one that goes on/],
      [['--incremental', '--mapped-ram', 'off'], /the engine writes mapped-ram files only/],
      [['--incremental', '--max-bandwidth', '1M'], /only QEMU keeps to a bandwidth/],
      [['--incremental', '--x-ignore-shared', 'on'], /taking the guest out of QEMU's process cannot be had/],
    ];
    for (const [args, words] of refusals) {
      const run = await save(path, ...args);
      t.is(run.code, 1, `${args.join(' ')}: ${run.stderr}`);
      t.regex(run.stderr, words);
    }
    const onto = await save(base, '--incremental', '--form', 'delta', '--force');
    t.is(onto.code, 1);
    t.regex(onto.stderr, /the delta and its base/);
    t.is((await runCli(['verify', base])).code, 0);
    await rm(base);
    const gone = await save(path, '--incremental');
    t.is(gone.code, 1);
    t.regex(gone.stderr, /base\.mr \(deleted\)\) does not lead to that file any more/);
    t.deepEqual(await readdir(dir.path), ['copy.mr']);
    await clone.assertAlive();
  },
);

qemuTest('a guest that is no clone has no incremental save, and a hint says how it gets one', async (t) => {
  await using place = await temporaryDirectory();
  const socket = place.file('qmp');
  await using guest = await startGuest({ extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`] });
  await guest.waitForGenerations(1);
  const run = await runCli(['save', socket, place.file('guest.mr'), '--incremental', '--verbose']);
  t.is(run.code, 1);
  t.regex(run.stderr, /no block of this guest is a private mapping of a snapshot/);
  t.regex(run.stderr, /^hint: without --incremental and --base all of the memory is written/m);
  t.regex(run.stderr, /^rule: .*"incremental-needs-clone"/m);
  await guest.assertAlive();
});

qemuTest('an incremental save describes the devices as its base does', async (t) => {
  await using described = await scene('--writer', 'qemu');
  const path = described.dir.file('later.mr');
  t.is((await described.save(path, '--incremental', '--form', 'delta')).code, 0);
  t.is((await described.save(described.dir.file('whole.mr'))).code, 0);
  const cpus = await runCli(['info', path, '--cpus']);
  t.is(cpus.code, 0, cpus.stderr);
  t.regex(cpus.stdout, /\brip\b/i);
  const core = described.dir.file('core');
  t.is((await runCli(['extract', path, '--format', 'elf', '-o', core])).code, 0);
  // A guest without a base has the CPUs all the same.
  const bare = await runCli(['info', described.dir.file('whole.mr'), '--cpus']);
  t.is(bare.code, 0, bare.stderr);
  t.regex(bare.stdout, /\brip\b/i);
});
