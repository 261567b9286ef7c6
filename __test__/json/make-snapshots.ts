import { open, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';

import { encodeInput } from '../../fuzz/sparse-input.ts';

import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { libvirtBeginning } from '../support/libvirt.ts';
import { OpenFile } from '../support/open-reader.ts';
import { QEMU_AARCH64_BINARY } from '../support/qemu-binary.ts';
import { saveTo, type MigrationOptions } from '../support/plain-migration.ts';
import { MIB, startGuest, type GuestSetup } from '../support/qemu.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { reduceSnapshot } from './reduce-snapshot.ts';
import { SNAPSHOTS } from './snapshots.ts';

// Lets QEMU save guests in each way, and stores the reduced files for the test of the JSON:
// node --import=@oxc-node/core/register __test__/json/make-snapshots.ts
// Record the JSON anew afterwards (record.ts): the files differ from run to run.

const SMALL: GuestSetup = { memoryMiB: 24, region: { start: 16 * MIB, length: MIB } };
const NUMA: GuestSetup = {
  memoryMiB: 64,
  numa: true,
  region: { start: 31 * MIB, length: 2 * MIB },
  extraArgs: ['-smp', '2', '-device', 'virtio-net-pci'],
};
const OFFSET = 12_288;
const PAGE = 4096;

await using dir = await temporaryDirectory();
await saveBoth('q35-stopped', 'q35-live', NUMA);
await save('i440fx-multifd', { ...SMALL, machine: 'pc' }, { multifd: true, channels: 2 }, OFFSET);
await save('microvm', { ...SMALL, machine: 'microvm,acpi=on' });
await save('plain', { ...SMALL, machine: 'microvm,acpi=on' }, { mappedRam: false });
await saveLibvirt();
await saveAarch64();
await saveCancelled();
await saveShared();

/** Saves a guest while it runs, and again when it is stopped. */
async function saveBoth(stopped: string, live: string, setup: GuestSetup): Promise<void> {
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  await saveTo(guest.qmp, `file:${dir.file(live)}`);
  await guest.cont();
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${dir.file(stopped)}`);
  await store(live);
  await store(stopped);
}

async function save(
  name: string,
  setup: GuestSetup,
  options: MigrationOptions = {},
  offset = 0,
): Promise<void> {
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${dir.file(name)},offset=${offset}`, options);
  await store(name, offset);
}

/** Saves in libvirt's format `sparse`: libvirt's own header comes first, then what QEMU writes. */
async function saveLibvirt(): Promise<void> {
  const name = 'libvirt';
  const beginning = libvirtBeginning('sparse');
  await using guest = await startGuest({ ...SMALL, machine: 'pc' });
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${dir.file(name)},offset=${beginning.length}`);
  const handle = await open(dir.file(name), 'r+');
  await handle.write(beginning, 0, beginning.length, 0);
  await handle.close();
  await store(name, beginning.length);
}

async function saveAarch64(): Promise<void> {
  const args = '-machine virt -cpu cortex-a57 -m 16M -nodefaults -no-user-config -display none -S'.split(' ');
  await using qemu = await QemuProcess.start({ binary: QEMU_AARCH64_BINARY, args });
  await saveTo(qemu.qmp, `file:${dir.file('aarch64-virt')}`);
  await store('aarch64-virt');
}

/** Cancels a save in its middle: the file has headers, some pages, and no device state. */
async function saveCancelled(): Promise<void> {
  await using guest = await startGuest({ ...SMALL, region: { start: 16 * MIB, length: 6 * MIB } });
  await guest.waitForGenerations(1);
  await guest.stop();
  const controller = new AbortController();
  const cancelled = saveTo(guest.qmp, `file:${dir.file('cancelled')}`, {
    maxBandwidth: MIB,
    signal: controller.signal,
    onStatus: ({ ram }) => {
      if (ram !== undefined && ram.normalPages > 100) controller.abort();
    },
  });
  await cancelled.then(
    () => Promise.reject(new Error('the save was to be cancelled')),
    () => undefined,
  );
  await store('cancelled');
}

/** Saves the inputs of pack: a device state without RAM, and the RAM beside it. */
async function saveShared(): Promise<void> {
  const setup: GuestSetup = { ...SMALL, backend: 'file', share: true, memPathDir: dir.path };
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${dir.file('state')}`, { mappedRam: false, xIgnoreShared: true });
  await store('state');
  // A few pages stand for the memory.
  const extents = [0, 1, 5, 4096].map((page) => ({
    offset: page * PAGE,
    bytes: new TextEncoder().encode('page'),
  }));
  await write('memory', encodeInput({ size: 24 * MIB, extents }));
}

async function store(name: string, base = 0): Promise<void> {
  await using file = await OpenFile.open(dir.file(name));
  await write(name, encodeInput(await reduceSnapshot(file, base)));
}

async function write(name: string, encoded: Uint8Array): Promise<void> {
  await writeFile(new URL(`${name}.gz`, SNAPSHOTS), gzipSync(encoded, { level: 9 }));
}
