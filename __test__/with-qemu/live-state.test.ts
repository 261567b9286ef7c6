import { createReadStream, writeFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { convert, save, Snapshot, verify } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { loadFrom, saveTo } from '../support/plain-migration.ts';
import { QEMU_BINARY, qemuTest, targetTest } from '../support/qemu-required.ts';
import { startGuest } from '../support/qemu.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const QUIET = ['-nodefaults', '-display', 'none'];

async function setCapability(qemu: QemuProcess, capability: string): Promise<void> {
  await qemu.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability, state: true }] });
}

/** Converts a snapshot to a stream and back through a pipe, and lets QEMU load all three; `wanted` is its run state. */
async function assertAllLoad(
  t: ExecutionContext,
  path: string,
  qemu: { readonly binary: string; readonly args: readonly string[] },
  wanted: string,
): Promise<void> {
  const [stream, back] = [`${path}.stream`, `${path}.back`];
  await convert(path, stream, { to: 'stream' });
  await convert(createReadStream(stream), back);
  t.deepEqual((await verify(back)).findings, []);
  for (const file of [path, stream, back]) {
    await using other = await QemuProcess.start({ ...qemu, args: [...qemu.args, '-incoming', 'defer'] });
    await loadFrom(other.qmp, `file:${file}`, { mappedRam: file !== stream });
    t.is((await other.qmp.execute('query-status')).status, wanted, file);
    await other.quit();
  }
}

qemuTest(
  "QEMU's own file with dirty bitmaps is read, converted and loaded, and a save leaves them out",
  async (t) => {
    await using dir = await temporaryDirectory();
    const [disk, file] = [dir.file('disk'), dir.file('file')];
    await writeFile(disk, '');
    await truncate(disk, 16 * 2 ** 20);
    const drive = [
      '-blockdev',
      `driver=file,filename=${disk},node-name=n0`,
      '-device',
      'virtio-blk-pci,drive=n0',
    ];
    const args = [...QUIET, '-machine', 'q35', '-m', '64', ...drive];
    await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
    const bitmap = { node: 'n0', name: 'b0', granularity: 512 };
    await qemu.qmp.execute('block-dirty-bitmap-add', bitmap);
    await setCapability(qemu, 'dirty-bitmaps');
    await save(qemu.qmp, dir.file('ours'));
    await using ours = await Snapshot.open(dir.file('ours'));
    t.deepEqual(
      ours.index.sections.filter(({ kind }) => kind !== 'full'),
      [],
    );
    const capabilities = await qemu.qmp.execute('query-migrate-capabilities');
    t.true(capabilities.some(({ capability, state }) => capability === 'dirty-bitmaps' && state));
    await qemu.qmp.execute('stop');
    await qemu.qmp.execute('human-monitor-command', { 'command-line': 'qemu-io n0 "write 0 8M"' });
    // Under a limit QEMU writes PART after PART while nothing is left to write.
    await saveTo(qemu.qmp, `file:${file}`, { maxBandwidth: 128 * 2 ** 20 });
    await qemu.quit();
    await using snapshot = await Snapshot.open(file);
    t.true(snapshot.index.complete, snapshot.index.problem?.message);
    t.true(snapshot.index.sections.filter(({ idstr }) => idstr === 'dirty-bitmap').length < 10);
    t.deepEqual((await verify(file)).findings, []);
    t.is((await snapshot.read('pc.bios', 0, 16)).length, 16);
    await assertAllLoad(t, file, { binary: QEMU_BINARY, args }, 'paused');
  },
);

/** Machines with live state beside RAM, and with pages of other sizes. */
const MACHINES: readonly (readonly [string, readonly string[], number])[] = [
  ['aarch64', ['-machine', 'xlnx-versal-virt', '-m', '128M', '-S'], 1024],
  ['aarch64', ['-machine', 'none', '-S'], 1024],
  ['arm', ['-machine', 'palmetto-bmc', '-S'], 1024],
  ['avr', ['-machine', 'arduino-uno', '-S'], 256],
  ['alpha', ['-machine', 'clipper', '-m', '64M', '-S'], 8192],
  ['or1k', ['-machine', 'or1k-sim', '-S'], 8192],
  ['tricore', ['-machine', 'tricore_testboard', '-S'], 16_384],
  ['riscv64', ['-machine', 'virt', '-m', '64M', '-S'], 4096],
  ['ppc64', ['-machine', 'pseries', '-m', '256M', '-S'], 4096],
  ['s390x', ['-machine', 's390-ccw-virtio', '-m', '64M', '-kernel', 'LOOP', '-S'], 4096],
];

for (const [target, options, pageSize] of MACHINES) {
  const binary = `qemu-system-${target}`;
  const machine = options[1] ?? '';
  targetTest(target, `saved, verified, converted and loaded: ${target} ${machine}`, async (t) => {
    await using dir = await temporaryDirectory();
    const loop = dir.file('loop');
    // j . , for as long as the guest lives.
    writeFileSync(loop, Buffer.alloc(0x10100, Buffer.from('a7f40000', 'hex')));
    const args = [...QUIET, ...options.map((option) => option.replace('LOOP', loop))];
    const path = dir.file('file');
    await using qemu = await QemuProcess.start({ binary, args });
    const { warnings } = await save(qemu.qmp, path);
    t.deepEqual(warnings, []);
    await qemu.quit();
    await using snapshot = await Snapshot.open(path);
    t.true(snapshot.index.complete);
    t.is(snapshot.index.ram?.targetPageSize, pageSize);
    t.deepEqual((await verify(path)).findings, []);
    await assertAllLoad(t, path, { binary, args }, 'prelaunch');
  });
}

qemuTest('a guest whose memory is all zeros is saved, verified and restored', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('file');
  const args = [...QUIET, '-machine', 'none', '-m', '64M'];
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
  await save(qemu.qmp, path);
  await qemu.quit();
  await using snapshot = await Snapshot.open(path);
  const info = await snapshot.info();
  t.is(
    info.blocks.reduce((sum, { setPages }) => sum + setPages, 0),
    0,
  );
  t.deepEqual(info.warnings, []);
  t.deepEqual((await verify(path)).findings, []);
  await assertAllLoad(t, path, { binary: QEMU_BINARY, args }, 'running');
});

qemuTest(
  'a plain stream of background-snapshot, which has no END of RAM, becomes mapped-ram and goes on',
  async (t) => {
    await using dir = await temporaryDirectory();
    const [stream, mapped] = [dir.file('stream'), dir.file('mapped')];
    const setup = { memoryMiB: 64, region: { start: 16 * 2 ** 20, length: 16 * 2 ** 20 } };
    {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      const possible = await setCapability(guest.qemu, 'background-snapshot').then(
        () => true,
        () => false,
      );
      if (!possible) {
        t.log('this host has no userfaultfd for it');
        return;
      }
      await saveTo(guest.qmp, `file:${stream}`, { mappedRam: false });
    }
    await convert(stream, mapped);
    t.deepEqual((await verify(mapped)).findings, []);
    await using restored = await startGuest({ ...setup, incoming: true });
    await loadFrom(restored.qmp, `file:${mapped}`);
    await restored.assertAlive();
  },
);
