import { copyFile, open, rename } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { attach } from '../../ts/restore/attach.ts';
import { launchArguments } from '../../ts/restore/command-line/launch-arguments.ts';
import { preloadRam } from '../../ts/restore/preload.ts';
import { openStateStream } from '../../ts/restore/state-stream.ts';
import { lockFile } from '../../ts/engine/file-lock.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { freePort } from '../support/free-port.ts';
import { startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { saveGuest } from '../support/restored-guest.ts';

const OURS = ['-nodefaults', '-no-user-config', '-display', 'none', '-vga', 'none', '-accel', 'tcg'];

/** The memory arguments that `launchArguments` makes of `-m 128M`, for `startGuest`. */
async function memoryArgs(
  snapshot: Snapshot,
  files?: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const { args } = await launchArguments(snapshot, {
    mode: files === undefined ? 'instant' : 'preload',
    args: ['-machine', 'q35', '-m', '128M', '-incoming', 'defer'],
    files,
  });
  return args.slice(2, args.indexOf('-incoming')).concat(args.slice(args.indexOf('-incoming') + 2));
}

async function goesOn(t: ExecutionContext, guest: TestGuest): Promise<void> {
  const before = await guest.checkMemory();
  const after = await guest.assertAlive();
  t.true(after.generation > before.generation);
}

qemuTest("a QEMU of the caller's takes the guest over, and holds the snapshot while it lives", async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  await saveGuest({}, path);
  const socket = dir.file('qmp');
  await using writer = await open(path, 'r+');
  {
    await using snapshot = await Snapshot.open(path);
    await using guest = await startGuest({
      memoryArgs: await memoryArgs(snapshot),
      memoryBlocks: ['pc.ram'],
      incoming: true,
      extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`],
    });
    {
      await using qmp = await QmpClient.connect(socket);
      const result = await attach(qmp, path);
      t.like(result, { mode: 'instant', blocks: ['pc.ram'], runState: 'running', locked: true });
    }
    await snapshot.close();
    t.throws(() => lockFile(writer.fd, 'exclusive', path), { code: 'ERR_MAPPED_RAM_BUSY' });
    await goesOn(t, guest);
  }
  t.true(lockFile(writer.fd, 'exclusive', path));
});

qemuTest('without a unix socket the state goes by its path', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  await saveGuest({}, path);
  const port = await freePort();
  await using snapshot = await Snapshot.open(path);
  await using guest = await startGuest({
    memoryArgs: await memoryArgs(snapshot),
    memoryBlocks: ['pc.ram'],
    incoming: true,
    extraArgs: ['-qmp', `tcp:127.0.0.1:${port},server=on,wait=off`],
  });
  await using qmp = await QmpClient.connect(`tcp:127.0.0.1:${port}`);
  const result = await attach(qmp, snapshot);
  t.like(result, { mode: 'instant', runState: 'running', locked: false });
  // TCP does not tell which process this QEMU is.
  t.regex(result.warnings.join(), /that QEMU maps this very file could not be seen/);
  await goesOn(t, guest);
});

qemuTest('the pieces: memory loaded beforehand, one state stream for several guests', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  await saveGuest({}, path);
  await using snapshot = await Snapshot.open(path);
  await using state = await openStateStream(snapshot, { inPlace: ['pc.ram'] });
  const guests = await Promise.all(
    [1, 2].map(async () => {
      await using ram = await preloadRam(snapshot, { blocks: ['pc.ram'] });
      return await startGuest({
        memoryArgs: await memoryArgs(snapshot, ram.files),
        memoryBlocks: ['pc.ram'],
        incoming: true,
      });
    }),
  );
  try {
    const results = await Promise.all(
      guests.map(({ qmp }) => attach(qmp, snapshot, { mode: 'preload', blocks: ['pc.ram'], state })),
    );
    t.deepEqual(
      results.map(({ runState }) => runState),
      ['running', 'running'],
    );
    for (const guest of guests) await goesOn(t, guest);
    await using other = await startGuest({ memoryArgs: await memoryArgs(snapshot), incoming: true });
    await t.throwsAsync(attach(other.qmp, snapshot, { state }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /for another kind of restore/,
    });
    await t.throwsAsync(attach(other.qmp, snapshot, { mode: 'eager', state }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /mode eager has no use for state/,
    });
    await copyFile(path, dir.file('copy'));
    await using copy = await Snapshot.open(dir.file('copy'));
    await using copied = await openStateStream(copy, { inPlace: ['pc.ram'], mapped: true });
    await t.throwsAsync(attach(other.qmp, snapshot, { state: copied }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /the state stream is of another snapshot/,
    });
  } finally {
    await Promise.all(guests.map((guest) => guest.close()));
  }
});

qemuTest('a QEMU that does not fit is told everything that is wrong, and stays the caller’s', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  await saveGuest({ extraArgs: ['-device', 'e1000,addr=4'] }, path);
  await using qemu = await QemuProcess.start({
    binary: QEMU_BINARY,
    args: [
      ...OURS,
      '-machine',
      'pc',
      '-m',
      '256M',
      '-smp',
      '2',
      '-device',
      'virtio-rng-pci,addr=5',
      '-incoming',
      'defer',
    ],
  });
  const error = await t.throwsAsync(attach(qemu.qmp, path), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  for (const words of [
    /machine type is pc-q35-\S+, QEMU's pc-i440fx-\S+: start it with -machine pc-q35-/,
    /block pc\.ram has 134217728 bytes in the snapshot and 268435456 in QEMU/,
    /1 CPUs, QEMU 2/,
    /PCI device at 0000:00:04\.0 \(e1000\)/,
  ]) {
    t.regex(error.message, words);
  }
  const status = await qemu.qmp.execute('query-status');
  t.is(status.status, 'inmigrate');
});

qemuTest('a QEMU that runs a guest, or has failed to load one, is refused', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  await saveGuest({}, path);
  await using running = await startGuest({});
  await t.throwsAsync(attach(running.qmp, path), {
    message: /QEMU is running and does not wait for a guest/,
  });
  await using waiting = await startGuest({ incoming: true });
  const late = attach(waiting.qmp, path, { mode: 'preload', blocks: ['pc.bios'] });
  await t.throwsAsync(late, { message: /block pc\.bios has no memory backend/ });
  t.like(await attach(waiting.qmp, path), { mode: 'eager', runState: 'running' });
});

qemuTest('another snapshot under the name that QEMU mapped is refused; what it maps is not', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  await saveGuest({}, path);
  await saveGuest({}, dir.file('other'));
  await using snapshot = await Snapshot.open(path);
  const memory = { memoryArgs: await memoryArgs(snapshot), memoryBlocks: ['pc.ram'], incoming: true };
  await using before = await startGuest(memory);
  await rename(dir.file('other'), path);
  await using after = await startGuest(memory);
  const options = { mode: 'instant', blocks: ['pc.ram'] } as const;
  const refused = {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /block pc\.ram does not map the snapshot: it is in \S+, which is not the file that was opened/,
  };
  await t.throwsAsync(attach(before.qmp, path, options), refused);
  await t.throwsAsync(attach(after.qmp, snapshot, options), refused);
  t.like(await attach(before.qmp, snapshot), { mode: 'instant', runState: 'running', warnings: [] });
  t.like(await attach(after.qmp, path), { mode: 'instant', runState: 'running', warnings: [] });
  await goesOn(t, before);
  await goesOn(t, after);
});
