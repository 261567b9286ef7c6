import test from 'ava';

import { restore, save } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import type { RestoreOptions } from '../../ts/restore/restore.ts';
import { pageServers, untilNoPageServer } from '../restore/lazy-servers.ts';
import { assertMemory } from '../save/captured-guest.ts';
import { IS_LINUX_THERE, LinuxGuest, linuxTest } from '../support/linux-guest.ts';
import { MIB, TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY, QEMU_MISSING } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const dir = await temporaryDirectory();
test.after.always(() => dir[Symbol.asyncDispose]());

const binary = QEMU_BINARY;
const path = dir.file('linux.mr');
let linux: LinuxGuest;
/** The number to which the guest had counted when it was saved, or one less. */
let counted = 0;

test.before(async () => {
  if (QEMU_MISSING !== undefined || !IS_LINUX_THERE) return;
  linux = await LinuxGuest.make((name) => dir.file(name));
  await using qemu = await QemuProcess.start({ binary, args: linux.args });
  counted = await linux.untilCounted(3);
  // It works on while this comes.
  await save(qemu.qmp, path, { writer: 'engine', after: 'stop' });
});

const WAYS: readonly Omit<RestoreOptions, 'binary' | 'args' | 'mode'>[] = [
  { postcopy: { push: 'full' } },
  { postcopy: { push: 'gentle', preempt: false }, memory: 'memfd' },
  { postcopy: { server: 'caller' }, memory: { path: '/dev/shm' } },
];

for (const options of WAYS) {
  linuxTest(`a Linux under load goes on, and its memory follows: ${JSON.stringify(options)}`, async (t) => {
    linux.listenAnew();
    await using guest = await restore(path, { ...options, binary, args: linux.args, mode: 'lazy' });
    t.is(guest.runState, 'running');
    const first = await linux.untilCounted(1);
    t.true(first > counted, `${first}, after ${counted}`);
    const report = await guest.memoryComplete;
    t.true((report?.requests ?? 0) > 0);
    t.is(report?.takeOvers, 0);
    t.true((await linux.untilCounted(4)) > first);
  });
}

linuxTest('a Linux under load does not see that servers of its memory are killed', async (t) => {
  linux.listenAnew();
  const postcopy = { maxBandwidth: 20 * MIB };
  await using guest = await restore(path, { binary, args: linux.args, mode: 'lazy', postcopy });
  for (let kills = 0; kills < 2; kills += 1) {
    await linux.untilCounted(kills + 1);
    for (const server of pageServers()) process.kill(server, 'SIGKILL');
  }
  const report = await guest.memoryComplete;
  t.true((report?.takeOvers ?? 0) > 0);
  await linux.untilCounted(5);
  t.deepEqual(await untilNoPageServer(), []);
});

linuxTest('every page of a Linux under load is as it was saved', async (t) => {
  const options = { binary, args: linux.args, mode: 'lazy', after: 'stop' } as const;
  await using guest = await restore(path, options);
  await guest.memoryComplete;
  // Its files stay when this guest ends.
  await assertMemory(t, new TestGuest(guest.qemu, '/nonexistent', {}, ['pc.ram']), path, 'linux');
});
