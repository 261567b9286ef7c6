import { access, readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { dropPageCache } from '../../ts/engine/page-cache.ts';
import { runCli, type CliRun } from '../cli/run-cli.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { guestArgs } from '../support/qemu-setup.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';

qemuTest('the command line records a working set, and a restore reads it ahead', async (t) => {
  await using dir = await temporaryDirectory();
  const [snapshot, socket, serial] = [dir.file('guest.mr'), dir.file('qmp'), dir.file('serial')];
  await saveGuest({}, snapshot);
  const record = (...args: readonly string[]): Promise<CliRun> =>
    runCli(['working-set', socket, snapshot, ...args]);
  {
    const extraArgs = ['-qmp', `unix:${socket},server=on,wait=off`];
    await using guest = await restoreGuest(snapshot, { extraArgs }, {});
    const first = await record('--wait', '200');
    t.is(first.code, 0, first.stderr);
    t.regex(first.stdout, /^working set +\S+guest\.mr\.working-set$/m);
    t.regex(first.stdout, /^pages +[\d.]+ [KM]iB of the snapshot, in pc\.ram$/m);
    const other = await record('-o', dir.file('other'), '--json');
    t.like(other.json(), { path: dir.file('other'), blocks: ['pc.ram'] });
    await access(dir.file('other'));
    t.is((await record('--wait', 'long')).code, 2);
    await guest.waitForGenerations(1);
  }
  t.is((await record()).code, 1, 'there is no guest any more');

  await writeGuestDisk(dir.file('boot.img'));
  const restore = async (...flags: readonly string[]): Promise<CliRun> => {
    await dropPageCache(snapshot);
    await rm(serial, { force: true });
    return runCli(['restore', snapshot, ...flags, '--', QEMU_BINARY, ...guestArgs({}, dir.path)], {
      meanwhile: async (child) => {
        while ((await readFile(serial, 'latin1').catch(() => '')).length === 0 && child.exitCode === null) {
          await delay(20);
        }
        child.kill('SIGTERM');
      },
    });
  };
  const auto = await restore();
  t.regex(auto.stderr, /^working set +[\d.]+ [KM]iB read ahead \(\S+guest\.mr\.working-set\)$/m);
  const off = await restore('--working-set', 'off');
  t.notRegex(off.stderr, /working set/);
  const named = await restore('--working-set', dir.file('other'), '--json');
  t.like(named.json(), { workingSet: { path: dir.file('other'), cachedShare: 0 } });
  const missing = await restore('--working-set', dir.file('none'));
  t.is(missing.code, 1);
  t.regex(missing.stderr, /cannot read the working set/);
  const waiting = await runCli(['restore', snapshot, '--qmp', socket, '--working-set', 'off']);
  t.is(waiting.code, 2);
  t.regex(waiting.stderr, /leave out --working-set/);
});
