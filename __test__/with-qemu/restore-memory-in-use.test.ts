import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdir, open, symlink } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { attach } from '../../ts/restore/attach.ts';
import { restore } from '../../ts/restore/restore.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { MIB, startGuest } from '../support/qemu.ts';
import { guestArgs } from '../support/qemu-setup.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const SETUP = { backend: 'file', share: true } as const;

let dir: TemporaryDirectory;
let snapshot = '';

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = dir.file('guest.snapshot');
  if (QEMU_MISSING === undefined) await saveGuest(SETUP, snapshot);
});

test.after.always(() => dir[Symbol.asyncDispose]());

/** Matches the refusal of a file, with the process that uses it. */
function refusal(path: string, pid: number | undefined, program: string): object {
  return {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: new RegExp(`${path}.*memory of m0 .*process ${pid} \\(${program}`),
  };
}

qemuTest('an eager restore leaves the memory of a guest that runs alone, whatever its name', async (t) => {
  await using memory = await temporaryDirectory();
  await using guest = await startGuest({ ...SETUP, memPathDir: memory.path });
  await guest.waitForGenerations(2);
  const { pid } = guest.qemu;
  const places = { hard: memory.file('hard'), soft: memory.file('soft') };
  for (const path of Object.values(places)) await mkdir(path);
  await link(memory.file('m0.ram'), join(places.hard, 'm0.ram'));
  await symlink(memory.file('m0.ram'), join(places.soft, 'm0.ram'));
  for (const memPathDir of [memory.path, places.hard, places.soft]) {
    const late = restoreGuest(snapshot, { ...SETUP, memPathDir }, { mode: 'eager' });
    await t.throwsAsync(late, refusal(join(memPathDir, 'm0.ram'), pid, 'qemu-system'));
  }
  // A path that QEMU alone understands is seen when QEMU has started.
  await using handle = await open(memory.file('m0.ram'), 'r+');
  const object = `memory-backend-file,id=m0,size=128M,share=on,mem-path=/proc/${process.pid}/fd/${handle.fd}`;
  const setup = { memoryArgs: ['-object', object, '-machine', 'memory-backend=m0'], memoryBlocks: ['m0'] };
  await t.throwsAsync(restoreGuest(snapshot, setup, { mode: 'eager' }), {
    code: 'ERR_MAPPED_RAM_BUSY',
  });
  await guest.waitForGenerations(2);
  await guest.checkMemory();
});

qemuTest('modes that bring memory of their own may have the command line of a guest that runs', async (t) => {
  await using memory = await temporaryDirectory();
  await using guest = await startGuest({ ...SETUP, memPathDir: memory.path });
  for (const mode of ['instant', 'preload'] as const) {
    await using clone = await restoreGuest(snapshot, { ...SETUP, memPathDir: memory.path }, { mode });
    t.is(clone.restored.mode, mode);
    await clone.waitForGenerations(2);
  }
  await guest.assertAlive();
});

qemuTest('a private mapping of a file that a guest shares would show what that guest writes', async (t) => {
  await using memory = await temporaryDirectory();
  const own = { backend: 'file', memPathDir: memory.path } as const;
  {
    await using guest = await startGuest({ ...SETUP, memPathDir: memory.path });
    await guest.waitForGenerations(2);
    const path = memory.file('m0.ram');
    const refused = {
      code: 'ERR_MAPPED_RAM_BUSY',
      message: /a private mapping of a file that process \d+ \(qemu/,
    };
    const { message } = await t.throwsAsync(restoreGuest(snapshot, own, { mode: 'eager' }), refused);
    t.true(message.startsWith(path), message);
    await using waiting = await startGuest({ ...own, incoming: true });
    await t.throwsAsync(attach(waiting.qmp, snapshot, { mode: 'eager' }), refused);
    await guest.assertAlive();
  }
  // Any number of guests may have what nobody writes.
  await using first = await restoreGuest(snapshot, own, { mode: 'eager' });
  await using second = await restoreGuest(snapshot, own, { mode: 'eager' });
  t.is(second.restored.form, 'stream');
  await first.assertAlive();
  await second.assertAlive();
});

/** Starts a program that has a file open, or only mapped. */
async function holder(path: string, how: 'open' | 'mapped'): Promise<ChildProcess> {
  const mapped = `import mmap, os, sys
f = open(sys.argv[1], 'r+b')
m = mmap.mmap(os.dup(f.fileno()), 0)
for n in os.listdir('/proc/self/fd'):
  if int(n) > 2:
    try: os.close(int(n))
    except OSError: pass
print('ready', flush=True)
sys.stdin.read()`;
  const script = 'exec 5<"$1"; echo ready; read -r line';
  const child =
    how === 'open'
      ? spawn('bash', ['-c', script, 'bash', path], { stdio: ['pipe', 'pipe', 'inherit'] })
      : spawn('python3', ['-c', mapped, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  if (child.stdout !== null) await once(child.stdout, 'data');
  return child;
}

qemuTest('any other process that has the memory open or mapped counts', async (t) => {
  await using memory = await temporaryDirectory();
  const path = memory.file('m0.ram');
  await using handle = await open(path, 'w');
  await handle.truncate(128 * MIB);
  for (const how of ['open', 'mapped'] as const) {
    const child = await holder(path, how);
    try {
      const late = restoreGuest(snapshot, { ...SETUP, memPathDir: memory.path }, { mode: 'eager' });
      await t.throwsAsync(late, refusal(path, child.pid, how === 'open' ? 'bash' : 'python'), how);
    } finally {
      child.kill();
      await once(child, 'exit');
    }
  }
  // This process has the file open, too, and does not count.
  await using guest = await restoreGuest(snapshot, { ...SETUP, memPathDir: memory.path }, { mode: 'eager' });
  await guest.assertAlive();
});

qemuTest('a QEMU that waits does not count as a user of its own memory, another does', async (t) => {
  await using own = await temporaryDirectory();
  await using memory = await temporaryDirectory();
  const waiting = async (socket: string): Promise<QemuProcess> =>
    QemuProcess.start({
      binary: QEMU_BINARY,
      args: [
        ...guestArgs({ ...SETUP, memPathDir: memory.path, incoming: true }, own.path).filter(
          // The two would want one disk.
          (word, index, all) => word !== '-drive' && all[index - 1] !== '-drive',
        ),
        '-qmp',
        `unix:${socket},server=on,wait=off`,
      ],
    });
  await using first = await waiting(own.file('a'));
  const qmp = await QmpClient.connect(own.file('a'));
  const second = await waiting(own.file('b'));
  const late = attach(qmp, snapshot, { mode: 'eager' });
  await t.throwsAsync(late, refusal(memory.file('m0.ram'), second.pid, 'qemu-system'));
  await second.close();
  const { runState, warnings } = await attach(qmp, snapshot, { mode: 'eager', after: 'stop' });
  t.is(runState, 'paused');
  t.false(
    warnings.some((words) => words.includes('memory of m0')),
    warnings.join(),
  );
  await qmp.close();
  t.true(first.qmp.isOpen);
});

qemuTest('the refusal comes before QEMU starts', async (t) => {
  await using memory = await temporaryDirectory();
  await using guest = await startGuest({ ...SETUP, memPathDir: memory.path });
  const object = `memory-backend-file,id=m0,size=128M,share=on,mem-path=${memory.file('m0.ram')}`;
  const args = ['-machine', 'q35,memory-backend=m0', '-object', object];
  // A QEMU that started would say that it does not exist.
  const late = restore(snapshot, { mode: 'eager', binary: '/no/such/qemu', args });
  await t.throwsAsync(late, refusal(memory.file('m0.ram'), guest.qemu.pid, 'qemu-system'));
});
