import { readdir, truncate, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { pack, save, Snapshot, unpack, verify } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { saveTo, type MigrationOptions } from '../support/plain-migration.ts';
import { startGuest, type GuestSetup } from '../support/qemu.ts';
import { aarch64Test, QEMU_AARCH64_BINARY, QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { assertAllFound } from '../verify/assert-found.ts';

interface Save {
  readonly setup: GuestSetup;
  readonly options?: MigrationOptions;
  readonly offset?: number;
  readonly live?: boolean;
}

const multifd = { multifd: true, channels: 4 };
const flash = ['-drive', 'if=pflash,format=raw,file=/dev/null'];
const devices = [
  ['-device', 'virtio-net-pci', '-device', 'virtio-scsi-pci', '-device', 'qemu-xhci', '-device', 'usb-kbd'],
  ['-device', 'VGA', '-device', 'e1000', '-device', 'virtio-gpu-pci', '-device', 'virtio-balloon-pci'],
  ['-m', '128M,maxmem=1G,slots=2', '-object', 'memory-backend-ram,id=more,size=128M'],
  ['-device', 'virtio-mem-pci,id=vm0,memdev=more,requested-size=64M'],
].flat();

const SAVES: Readonly<Record<string, Save>> = {
  'q35, stopped': { setup: {} },
  'q35, running': { setup: {}, live: true },
  i440fx: { setup: { machine: 'pc' } },
  microvm: { setup: { machine: 'microvm' } },
  'two NUMA blocks': { setup: { numa: true } },
  'two NUMA blocks, multifd, running': { setup: { numa: true }, options: multifd, live: true },
  multifd: { setup: {}, options: multifd },
  'multifd and direct-io': { setup: {}, options: { ...multifd, directIo: true } },
  'multifd and direct-io, running': { setup: {}, options: { ...multifd, directIo: true }, live: true },
  'at offset 4096': { setup: {}, offset: 4096 },
  'at offset 12345': { setup: {}, options: multifd, offset: 12_345 },
  'many devices, virtio-mem among them': { setup: { extraArgs: devices } },
};

for (const [title, { setup, options = {}, offset, live = false }] of Object.entries(SAVES)) {
  qemuTest(`nothing is found in what QEMU saves, and nothing against its seal: ${title}`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    if (!live) await guest.stop();
    const path = dir.file('guest.mr');
    if (offset !== undefined) await writeFile(path, Buffer.alloc(offset, 'X'));
    const uri = offset === undefined ? path : `file:${path},offset=${offset}`;
    await saveTo(guest.qmp, `file:${path}${offset === undefined ? '' : `,offset=${offset}`}`, options);
    await assertClean(t, uri);
  });
}

/** QEMU's own default devices, slirp's network among them, and more cards for it. */
const DEFAULTS: Readonly<Record<string, readonly string[]>> = {
  q35: [QEMU_BINARY, '-machine', 'q35'],
  i440fx: [QEMU_BINARY, '-machine', 'pc'],
  isapc: [QEMU_BINARY, '-machine', 'isapc'],
  microvm: [QEMU_BINARY, '-machine', 'microvm', '-nic', 'user'],
  'q35 with two user networks, USB, sound and virtio': [
    [QEMU_BINARY, '-machine', 'q35', '-nic', 'user', '-nic', 'user,model=rtl8139', '-device', 'usb-ehci'],
    ['-device', 'AC97', '-device', 'sb16', '-device', 'virtio-serial', '-device', 'virtserialport'],
    ['-device', 'qemu-xhci', '-device', 'usb-tablet', '-device', 'virtio-vga', '-device', 'pvpanic-pci'],
  ].flat(),
};

async function assertDefaultsClean(t: ExecutionContext, command: readonly string[]): Promise<void> {
  await using dir = await temporaryDirectory();
  const [binary = '', ...args] = command;
  await using qemu = await QemuProcess.start({
    binary,
    args: [...args, '-accel', 'tcg', '-display', 'none'],
  });
  const { path } = await save(qemu.qmp, dir.file('guest.mr'));
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  t.true(snapshot.index.sections.some(({ idstr }) => idstr === 'slirp'));
  await assertSealed(t, path ?? '');
}

for (const [title, command] of Object.entries(DEFAULTS)) {
  qemuTest(`nothing is found in a guest with QEMU's default devices: ${title}`, (t) =>
    assertDefaultsClean(t, command),
  );
}

aarch64Test("nothing is found in a guest with QEMU's default devices: aarch64 virt", (t) =>
  assertDefaultsClean(t, [QEMU_AARCH64_BINARY, '-machine', 'virt', '-cpu', 'cortex-a57']),
);

async function assertClean(t: ExecutionContext, uri: string): Promise<void> {
  const first = await verify(uri);
  t.deepEqual(first.findings, []);
  t.true(first.verified && first.seal === undefined);
  t.true((first.transfer?.dataBytes ?? 0) > 1 << 20);
  await assertSealed(t, uri);
}

async function assertSealed(t: ExecutionContext, uri: string): Promise<void> {
  const sealed = await verify(uri, { seal: true });
  t.deepEqual([sealed.findings, sealed.seal?.state], [[], 'written']);
  const again = await verify(uri, { ioEngine: 'threads', directIo: 'off' });
  t.deepEqual([again.findings, again.seal?.state], [[], 'checked']);
}

qemuTest('nothing is found in what pack makes of what QEMU saves, firmware in flash included', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('flash'), Buffer.alloc(4 << 20, 0xff));
  const extraArgs = flash.map((argument) => argument.replace('/dev/null', dir.file('flash')));
  // The guest does not boot from such a flash, but its state can be saved.
  await using guest = await startGuest({ backend: 'file', share: true, memPathDir: dir.path, extraArgs });
  await guest.stop();
  await saveTo(guest.qmp, `file:${dir.file('state')}`, { mappedRam: false, xIgnoreShared: true });
  const target = dir.file('guest.mr');
  await pack(target, { state: dir.file('state'), ram: { m0: dir.file('m0.ram') }, seal: true });
  t.deepEqual((await verify(target)).findings, []);
});

qemuTest('a save by the engine is sealed on the way; where QEMU writes, that is refused', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  {
    await using guest = await startGuest({ backend: 'file', share: true });
    await guest.waitForGenerations(2);
    const saved = await save(guest.qmp, path, { writer: 'engine', seal: true });
    t.is(saved.seal, `${path}.seal`);
    const { findings, seal } = await verify(path);
    t.deepEqual([findings, seal?.state], [[], 'checked']);
    await t.throwsAsync(save(guest.qmp, dir.file('other.mr'), { writer: 'qemu', seal: true }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /seal is an option of the writer engine, but QEMU would write: .*verify --seal/,
    });
    await save(guest.qmp, path, { writer: 'qemu', overwrite: true });
  }
  // The snapshot that QEMU wrote in its place has no seal any more.
  const { findings, seal } = await verify(path);
  t.deepEqual([findings, seal], [[], undefined]);
  t.deepEqual(await readdir(dir.path), ['guest.mr']);
});

qemuTest('a snapshot that was taken apart and packed anew has the pages that were sealed', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${dir.file('guest.mr')}`);
  await verify(dir.file('guest.mr'), { seal: true });
  const ram = { 'pc.ram': dir.file('ram') };
  await unpack(dir.file('guest.mr'), { ram, state: dir.file('state') });
  await pack(dir.file('again.mr'), { ram, state: dir.file('state') });
  const { findings } = await verify(dir.file('again.mr'), { sealPath: dir.file('guest.mr.seal') });
  // Other findings are expected: the END section that pack writes, for one, is in another place.
  t.deepEqual(
    findings.filter(({ code }) => code === 'pages-differ'),
    [],
  );
});

qemuTest('at least 200 ways to damage what QEMU saved are found', async (t) => {
  t.timeout(240_000);
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ memoryMiB: 64, region: { start: 16 << 20, length: 16 << 20 } });
  await guest.waitForGenerations(2);
  await guest.stop();
  const path = dir.file('guest.mr');
  await writeFile(path, Buffer.alloc(8192, 'X'));
  await saveTo(guest.qmp, `file:${path},offset=8192`);
  const count = await assertAllFound(t, path, { base: 8192, perKind: 40 });
  t.true(count >= 200, `${count} ways`);
});

/** A bandwidth that leaves time to cancel the save in its middle. */
const SLOW = { maxBandwidth: 4 << 20 };

qemuTest('a cancelled save is found, and a file of which only the bitmaps are missing', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const controller = new AbortController();
  const reason = new Error('enough');
  const saving = saveTo(guest.qmp, `file:${dir.file('cancelled.mr')}`, {
    ...SLOW,
    signal: controller.signal,
    onStatus: ({ status }) => {
      if (status === 'active') controller.abort(reason);
    },
  });
  t.is(await t.throwsAsync(saving), reason);
  const { findings, verified } = await verify(dir.file('cancelled.mr'));
  t.false(verified);
  t.true(findings.some(({ code }) => code === 'stream-truncated' || code === 'stream-corrupt'));
  // QEMU seeks over the page areas, so a file can look long enough and not be complete.
  await truncate(dir.file('cancelled.mr'), 256 << 20);
  const longer = await verify(dir.file('cancelled.mr'));
  t.true(longer.findings.some(({ code }) => code === 'bitmaps-clear'));
});

qemuTest('a save with background-snapshot, which looks complete, is found', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const capabilities = [{ capability: 'background-snapshot', state: true } as const];
  const possible = await guest.qmp.execute('migrate-set-capabilities', { capabilities }).then(
    () => true,
    () => false,
  );
  if (!possible) {
    t.log('this kernel cannot write-protect memory for QEMU');
    t.pass();
    return;
  }
  await saveTo(guest.qmp, `file:${dir.file('background.mr')}`);
  const { findings, verified } = await verify(dir.file('background.mr'));
  t.false(verified);
  t.deepEqual(
    findings.map(({ code }) => code),
    ['ram-unended', 'bitmaps-clear'],
  );
});

qemuTest(
  'of a file without a vmdescription it is said that nobody can tell whether it is whole',
  async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest({ machine: 'q35,suppress-vmdesc=on' });
    await guest.waitForGenerations(1);
    await guest.stop();
    await saveTo(guest.qmp, `file:${dir.file('guest.mr')}`);
    const { findings } = await verify(dir.file('guest.mr'));
    t.deepEqual(
      findings.map(({ code, severity }) => [code, severity]),
      [['device-state-unmeasured', 'error']],
    );
  },
);

qemuTest('a plain stream is refused', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await saveTo(guest.qmp, `file:${dir.file('plain')}`, { mappedRam: false });
  await t.throwsAsync(verify(dir.file('plain')), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});
