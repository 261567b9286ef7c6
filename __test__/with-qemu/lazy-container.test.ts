import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { restore } from '../../ts/index.ts';
import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { nextPageServer, pageServers, untilNoPageServer } from '../restore/lazy-servers.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { MIB, type GuestSetup } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { guestArgs } from '../support/qemu-setup.ts';
import { saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const SETUP: GuestSetup = { region: { start: 16 * MIB, length: 16 * MIB } };
const MAY_MOUNT = spawnSync('unshare', ['--mount', 'true']).status === 0;

/** A QEMU that has a /tmp of its own, as one in a container has. `MORE` stands for further mounts. */
const SCRIPT = `#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs none /tmp && MORE && exec "$@"' sh ${QEMU_BINARY} "$@"
`;

async function meetingPlaces(pid: number | 'self'): Promise<readonly string[]> {
  const found: string[] = [];
  for (const directory of ['/tmp', '/var/tmp', '/run', '/dev/shm']) {
    const names = await readdir(`/proc/${pid}/root${directory}`);
    found.push(...names.filter((name) => /^mapped-ram-[^-]{6}$/.test(name)));
  }
  return found;
}

async function assertMeets(t: ExecutionContext, more: string): Promise<void> {
  await using dir = await temporaryDirectory('/var/tmp');
  const [snapshot, binary] = [dir.file('guest.mr'), dir.file('contained')];
  await saveGuest(SETUP, snapshot);
  await writeGuestDisk(dir.file('boot.img'), SETUP.region);
  await writeFile(binary, SCRIPT.replace('MORE', more), { mode: 0o755 });
  const before = pageServers();
  const postcopy = { maxBandwidth: 16 * MIB };
  await using guest = await restore(snapshot, {
    binary,
    args: guestArgs(SETUP, dir.path),
    mode: 'lazy',
    postcopy,
  });
  t.is(guest.runState, 'running');
  t.deepEqual(await meetingPlaces(guest.qemu.pid), []);
  process.kill(await nextPageServer(before), 'SIGKILL');
  t.is((await guest.memoryComplete)?.takeOvers, 1);
  t.deepEqual(await meetingPlaces(guest.qemu.pid), []);
  t.deepEqual(await untilNoPageServer(), []);
}

if (MAY_MOUNT) {
  qemuTest('a QEMU with another /tmp than this process is met there', (t) => assertMeets(t, 'true'));

  qemuTest('a QEMU that has a /tmp which it cannot write to is met in another directory', (t) =>
    assertMeets(t, 'mount -o remount,ro /tmp'),
  );
} else {
  writeSync(2, '\n*** 2 tests SKIPPED: this process may make no mount namespace ***\n');
}
