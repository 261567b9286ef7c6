import { readdir, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { QmpClient, Snapshot } from '../../ts/index.ts';
import { runCli, type CliOptions, type CliRun } from '../cli/run-cli.ts';
import { startGuest, type GuestSetup, type TestGuest } from '../support/qemu.ts';
import { QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';

const SHARED: GuestSetup = { backend: 'file', share: true };

interface Scene extends AsyncDisposable {
  readonly guest: TestGuest;
  readonly dir: TemporaryDirectory;
  readonly save: (args: readonly string[], options?: CliOptions) => Promise<CliRun>;
}

/** A running guest whose QMP server the command line can reach, and a directory for snapshots. */
async function scene(setup: GuestSetup = {}): Promise<Scene> {
  const dir = await temporaryDirectory();
  const place = await temporaryDirectory();
  const socket = place.file('qmp');
  const guest = await startGuest({ ...setup, extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`] });
  await guest.waitForGenerations(1);
  return {
    guest,
    dir,
    save: (args, options) => runCli(['save', socket, ...args], options),
    [Symbol.asyncDispose]: async () => {
      await guest.close();
      await dir[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

qemuTest('the command line saves a guest that goes on, and says what it did', async (t) => {
  await using at = await scene(SHARED);
  const { guest, dir, save } = at;
  const path = dir.file('guest.mr');
  const first = await save([path]);
  t.is(first.code, 0, first.stderr);
  t.is(first.stderr, '');
  t.regex(first.stdout, /^writer +engine — the engine takes the guest out of QEMU's process/m);
  t.regex(first.stdout, /^checked +complete, and on the disk$/m);
  t.regex(first.stdout, /^guest +running, stood still for \d+ ms$/m);
  const again = await save([path]);
  t.is(again.code, 1);
  t.regex(again.stderr, /the file exists already.*\n.*--force replaces it/);
  const forced = await save([path, '--force', '--writer', 'qemu', '--json']);
  t.is(forced.code, 0, forced.stderr);
  t.like(forced.json(), {
    schemaVersion: 1,
    path,
    writer: 'qemu',
    verified: true,
    transfer: null,
    runState: 'running',
    plan: { writer: { value: 'qemu', why: 'it was asked for' } },
  });
  t.deepEqual(await readdir(dir.path), ['guest.mr']);
  await guest.assertAlive();
});

qemuTest('--after says what becomes of the guest', async (t) => {
  await using at = await scene();
  const { guest, dir, save } = at;
  const paused = await save([dir.file('c'), '--after', 'stop', '--writer', 'engine', '--json']);
  t.like(paused.json(), { runState: 'paused', pauseMs: null });
  await guest.cont();
  const stopped = await save([dir.file('a'), '--after', 'stop', '--json']);
  t.like(stopped.json(), { runState: 'postmigrate', pauseMs: null });
  const refused = await save([dir.file('b')]);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /let it go on first \(cont\)/);
  await guest.cont();
  const gone = await save([dir.file('b'), '--after', 'quit']);
  t.is(gone.code, 0, gone.stderr);
  t.regex(gone.stdout, /^guest +gone with QEMU$/m);
  t.is((await guest.qemu.exited).code, 0);
  await using snapshot = await Snapshot.open(dir.file('b'));
  t.true(snapshot.index.complete);
});

qemuTest('--dry-run changes nothing, and tells what would be done and why', async (t) => {
  await using at = await scene();
  const { guest, dir, save } = at;
  const before = await settings(guest.qmp);
  const plan = await save([dir.file('guest.mr'), '--dry-run']);
  t.is(plan.code, 0, plan.stderr);
  t.regex(plan.stdout, new RegExp(`^QEMU +${QEMU_VERSION.join('.')}, the guest is running$`, 'm'));
  t.regex(plan.stdout, /^writer +engine — the engine takes the guest out of QEMU's process/m);
  t.regex(plan.stdout, /^direct I\/O +on — /m);
  t.notRegex(plan.stdout, /put aside/);
  const other = await save([dir.file('guest.mr'), '--dry-run', '--writer', 'qemu']);
  t.regex(other.stdout, /put aside for the save: max-bandwidth/);
  const asked = ['--writer', 'qemu', '--multifd', 'off'];
  const { json } = await save([dir.file('guest.mr'), '--dry-run', '--json', ...asked]);
  t.like(json(), {
    schemaVersion: 1,
    direction: 'save',
    writer: { value: 'qemu', why: 'it was asked for' },
    multifd: { value: false, why: 'it was asked for' },
    directIo: { value: false, rule: 'direct-io-needs-multifd' },
    qemu: { runState: 'running' },
  });
  t.deepEqual(await readdir(dir.path), []);
  t.deepEqual(await settings(guest.qmp), before);
  await writeFile(dir.file('taken'), 'x');
  const taken = await save([dir.file('taken'), '--dry-run']);
  t.is(taken.code, 1);
  t.regex(taken.stderr, /the file exists already/);
});

qemuTest('what cannot be had is refused with its reason', async (t) => {
  await using at = await scene();
  const { guest, dir, save } = at;
  const path = dir.file('guest.mr');
  const refusals: readonly (readonly [args: readonly string[], code: number, words: RegExp])[] = [
    [[path, '--writer', 'engine', '--multifd', 'on'], 1, /writer engine cannot be had: multifd is how QEMU/],
    [
      [path, '--io-engine', 'threads', '--max-bandwidth', '1G'],
      1,
      /ioEngine is an option of the writer engine, but QEMU would write: /,
    ],
    [
      [path, '--writer', 'qemu', '--multifd', 'off', '--direct-io', 'on'],
      1,
      /QEMU ignores direct-io without/,
    ],
    [['exec:cat'], 1, /mapped-ram has to seek in a file, and exec: is a stream/],
    [['file:x,offset=bad'], 2, /offset/],
    [[dir.file('no/such/directory')], 1, /there is no directory/],
    [[path, '--max-bandwidth', '10MB'], 2, /ambiguous/],
    [[path, '--after', 'sleep'], 2, /--after must be cont, stop or quit/],
  ];
  for (const [args, code, words] of refusals) {
    const run = await save(args);
    t.is(run.code, code, run.stderr);
    t.regex(run.stderr, words);
  }
  const nobody = await runCli(['save', dir.file('no.qmp'), path]);
  t.is(nobody.code, 1);
  t.regex(nobody.stderr, /cannot connect to QMP/);
  t.deepEqual(await readdir(dir.path), []);
  await guest.assertAlive();
});

qemuTest('SIGINT in the middle of a save leaves nothing behind, and the guest goes on', async (t) => {
  await using at = await scene();
  const { guest, dir, save } = at;
  const before = await settings(guest.qmp);
  const run = await save([dir.file('guest.mr'), '--max-bandwidth', '1M'], {
    meanwhile: async (child) => {
      while ((await guest.runState()) === 'running') await delay(5);
      await delay(200);
      child.kill('SIGINT');
    },
  });
  t.is(run.code, 130, run.stderr);
  t.is(run.stderr, 'mapped-ram: interrupted by SIGINT\n');
  t.deepEqual(await readdir(dir.path), []);
  t.deepEqual(await settings(guest.qmp), before);
  t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
  t.is(await guest.runState(), 'running');
  await guest.assertAlive();
});

qemuTest('the command line saves a guest live when it is told to, and says how', async (t) => {
  await using at = await scene();
  const { guest, dir, save } = at;
  const live = ['--live', 'on', '--downtime-limit', '2000'];
  const told = await save([dir.file('guest.mr'), ...live]);
  t.is(told.code, 0, told.stderr);
  t.regex(told.stdout, /^live +\d+ passes/m);
  t.regex(told.stdout, /^warning: KVM does not run the guest; under TCG a live save may miss/m);
  const json = await save([dir.file('guest.mr'), ...live, '--force', '--json']);
  t.is(json.code, 0, json.stderr);
  t.like(json.json(), { runState: 'running', live: { converged: true }, plan: { live: { value: true } } });
  const dry = await save([dir.file('other.mr'), '--dry-run', '--writer', 'qemu']);
  t.regex(dry.stdout, /^live +off — without KVM/m);
  const refused = await save([dir.file('other.mr'), '--live', 'on', '--writer', 'engine']);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /only QEMU follows one that goes on/);
  const wrong = await save([dir.file('other.mr'), '--live', 'on', '--max-passes', '0']);
  t.is(wrong.code, 2);
  t.regex(wrong.stderr, /--max-passes must be a whole number, at least 1, not '0'/);
  await guest.assertAlive();
});

qemuTest('a QMP server that another client holds is named as the reason', async (t) => {
  await using place = await temporaryDirectory();
  const socket = place.file('qmp');
  await using guest = await startGuest({ extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`] });
  await using held = await QmpClient.connect(socket);
  t.true(held.isOpen);
  await t.throwsAsync(QmpClient.connect(socket, { timeoutMs: 300 }), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /QEMU does not greet: a QMP server serves one client at a time/,
  });
  t.is(await guest.runState(), 'running');
});
