import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { runCli, type CliOptions, type CliRun } from '../cli/run-cli.ts';
import { startGuest } from '../support/qemu.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { guestArgs } from '../support/qemu-setup.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { saveGuest } from '../support/restored-guest.ts';

let dir: TemporaryDirectory;
let snapshot = '';

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = dir.file('guest.snapshot');
  if (QEMU_MISSING !== undefined) return;
  await saveGuest({}, snapshot);
  await writeGuestDisk(dir.file('boot.img'));
});

test.after.always(() => dir[Symbol.asyncDispose]());

function restore(flags: readonly string[], extra: readonly string[], options?: CliOptions): Promise<CliRun> {
  const command = [QEMU_BINARY, ...guestArgs({}, dir.path), ...extra];
  rmSync(dir.file('serial'), { force: true });
  return runCli(['restore', snapshot, ...flags, '--', ...command], options);
}

/** Waits until the restored guest writes to its serial port. */
function untilItLives(): Promise<void> {
  return until(async () => (await readFile(dir.file('serial'), 'latin1').catch(() => '')).length > 1);
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if (await isSo()) return;
    await delay(50);
  }
  throw new Error('the guest does not live, or says nothing');
}

qemuTest('the command line restores a guest, and exits as QEMU does', async (t) => {
  for (const mode of MODE_NAMES) {
    const { code, stdout, stderr } = await restore(['--mode', mode], [], {
      meanwhile: async (child) => {
        await untilItLives();
        child.kill('SIGTERM');
      },
    });
    t.is(code, 143, stderr);
    t.is(stdout, '');
    t.regex(stderr, /guest +running/);
  }
  const killed = await restore([], ['-pidfile', dir.file('pid')], {
    meanwhile: async () => {
      await untilItLives();
      process.kill(Number(await readFile(dir.file('pid'), 'latin1')), 'SIGKILL');
    },
  });
  t.is(killed.code, 137);
  const failed = await restore([], ['-device', 'no-such-device']);
  t.is(failed.code, 1);
  t.regex(failed.stderr, /no-such-device/);
});

qemuTest('QEMU has stdout; with --json one object has it', async (t) => {
  const quit = ['-S', '-monitor', 'none', '-qmp', 'stdio'];
  const plain = await restore([], quit, { meanwhile: soonTerminated });
  t.regex(plain.stdout, /^\{"QMP":/);
  const { json, stderr } = await restore(['--json'], quit, { meanwhile: soonTerminated });
  t.like(json(), { schemaVersion: 1, mode: 'instant', runState: 'paused', blocks: ['pc.ram'], locked: true });
  t.like(json()['plan'], { direction: 'restore', mode: 'instant', fdset: { value: true } });
  for (const decision of ['multifd', 'channels', 'directIo', 'fdset']) {
    t.regex(JSON.stringify(json()['plan']), new RegExp(`"${decision}":\\{[^}]*"why":"\\w`), decision);
  }
  t.regex(stderr, /\{"QMP":/);
});

qemuTest('options for moving pages go to who moves them', async (t) => {
  const moving = ['--channels', '3', '--direct-io', 'off'];
  const engine = ['--io-engine', 'threads', '--request-size', '64KiB', '--ram-dir', '/dev/shm'];
  const options = { meanwhile: soonTerminated };
  const preload = await restore(['--json', '--mode', 'preload', ...moving, ...engine], ['-S'], options);
  t.like(preload.json()['transfer'], {
    ioEngine: 'threads',
    channels: 3,
    requestSize: 65_536,
    directIo: false,
  });
  const eager = await restore(['--json', '--mode', 'eager', ...moving], ['-S'], options);
  t.like(eager.json()['plan'], {
    channels: { value: 3 },
    directIo: { value: false, why: 'it was asked for' },
  });
});

qemuTest('-nographic has its monitor beside the serial port, as without us', async (t) => {
  const args = guestArgs({}, dir.path).filter(
    (word, index, all) => !/^-(nodefaults|serial)$/.test(word) && all[index - 1] !== '-serial',
  );
  const { code, stdout, stderr } = await runCli(
    ['restore', snapshot, '--', QEMU_BINARY, ...args, '-nographic', '-net', 'none'],
    {
      stdin: 'pipe',
      meanwhile: async ({ stdin, stdout: output }) => {
        let text = '';
        output?.on('data', (data: string) => (text += data));
        // The first text comes from the guest's serial port.
        await until(() => text.length > 1);
        stdin?.write('\u0001cinfo status\n');
        await until(() => text.includes('VM status'));
        stdin?.write('quit\n');
      },
    },
  );
  t.is(code, 0, stderr);
  t.regex(stdout, /\(qemu\) [^]*VM status: running/);
});

qemuTest('what does not go together is refused', async (t) => {
  const usage = await runCli(['restore', snapshot]);
  t.is(usage.code, 2);
  t.regex(usage.stderr, /say which QEMU/);
  const size = await restore([], ['-m', '256M']);
  t.is(size.code, 1);
  const instant = await restore(['--channels', '9', '--direct-io', 'on', '--io-engine', 'threads'], []);
  t.is(instant.code, 1);
  t.regex(instant.stderr, /mode instant has no use for channels, directIo, transfer\.ioEngine/);
  const eager = await restore(['--mode', 'eager', '--queue-depth', '3', '--ram-dir', dir.path], []);
  t.is(eager.code, 1);
  t.regex(eager.stderr, /mode eager has no use for ramDirectory, transfer\.queueDepth/);
  const attached = await runCli(['restore', snapshot, '--qmp', dir.file('none'), '--io-engine', 'threads']);
  t.is(attached.code, 2);
  t.regex(attached.stderr, /leave out --io-engine/);
  t.regex(size.stderr, /-m is 256 MiB, but the snapshot's memory \(pc\.ram\) is 128 MiB/);
});

qemuTest('a QEMU that waits takes the guest over', async (t) => {
  const socket = dir.file('qmp');
  await using guest = await startGuest({
    incoming: true,
    extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`],
  });
  const preload = await runCli(['restore', snapshot, '--qmp', socket, '--mode', 'preload']);
  t.is(preload.code, 2);
  const { code, json } = await runCli(['restore', snapshot, '--qmp', socket, '--json', '--after', 'stop']);
  t.is(code, 0);
  t.like(json(), { mode: 'eager', form: 'mapped-ram', runState: 'paused' });
  await guest.assertAlive();
});

async function soonTerminated(child: { readonly kill: (signal: NodeJS.Signals) => boolean }): Promise<void> {
  await delay(2500);
  child.kill('SIGTERM');
}
