import type { ExecutionContext } from 'ava';

import { deviceNames, type Outcome, walkDevice, type WalkedMachine } from '../support/device-walk.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { aarch64Test, QEMU_AARCH64_BINARY, QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { restoreVirtGuest, startVirtGuest, type VirtSetup } from '../support/virt-guest.ts';

/** `all`: every device that QEMU has, which takes a quarter of an hour per machine; or names, with commas between. */
const WANTED = process.env['MAPPED_RAM_DEVICE_WALK'];
const WALK_MS = 3 * 60 * 60 * 1000;
const SAMPLE_MS = 10 * 60 * 1000;

/** Devices with which QEMU itself refuses to save a guest. docs/devices.md names them. */
const QEMU_REFUSES = new Set([
  'amd-iommu',
  'nvme',
  'nvme-ns',
  'rocker',
  'ufs',
  'usb-audio',
  'usb-braille',
  'usb-net',
  'usb-serial',
  'usb-uas',
  'usb-wacom-tablet',
  'virtio-crypto-device',
  'virtio-crypto-pci',
  'virtio-sound-device',
  'virtio-sound-pci',
]);
/** Devices with which QEMU 10.0.2 dies when it saves or loads a guest, whoever asks. docs/devices.md names them. */
const QEMU_DIES = new Set(['pci-serial-2x', 'sd-card-spi', 'vmbus-bridge']);

const Q35: WalkedMachine = {
  title: 'q35',
  binary: QEMU_BINARY,
  machine: 'q35',
  start: (extraArgs) => startGuest(q35(extraArgs)),
  restore: (snapshot, mode, extraArgs) => restoreGuest(snapshot, q35(extraArgs), { mode }),
};

const VIRT: WalkedMachine = {
  title: 'aarch64 virt',
  binary: QEMU_AARCH64_BINARY,
  machine: 'virt',
  start: (extraArgs) => startVirtGuest(virt(extraArgs)),
  restore: (snapshot, mode, extraArgs) => restoreVirtGuest(snapshot, virt(extraArgs), { mode }),
};

function q35(extraArgs: readonly string[]): GuestSetup {
  const region = { start: 16 * MIB, length: 2 * MIB };
  return { defaults: true, memoryMiB: 64, backend: 'file', share: true, region, extraArgs };
}

function virt(extraArgs: readonly string[]): VirtSetup {
  return { arch: 'aarch64', backend: 'file', flash: 'none', defaults: true, extraArgs };
}

/** One device of each kind that has brought a fault of its own, and some that everybody has. */
const SAMPLE = {
  q35: [
    undefined,
    'acpi-erst',
    'bochs-display',
    'cirrus-vga',
    'e1000',
    'ivshmem-plain',
    'nvdimm',
    'pc-dimm',
    'rocker',
    'usb-storage',
    'virtio-gpu-pci',
    'virtio-mem-pci',
    'virtio-pmem-pci',
    'vmcoreinfo',
    'vmware-svga',
  ],
  virt: [undefined, 'ramfb', 'virtio-blk-pci', 'virtio-gpu-pci', 'virtio-mem-pci', 'virtio-net-pci'],
} as const;

qemuTest('q35: guests with devices are saved by both writers, verified and restored in every mode', (t) =>
  walkAll(t, Q35, SAMPLE.q35),
);

aarch64Test('virt: guests with devices are saved by both writers, verified and restored in every mode', (t) =>
  walkAll(t, VIRT, SAMPLE.virt),
);

async function walkAll(
  t: ExecutionContext,
  machine: WalkedMachine,
  sample: readonly (string | undefined)[],
): Promise<void> {
  t.timeout(WANTED === undefined ? SAMPLE_MS : WALK_MS);
  // A CPU cannot be added to a machine that has as many as it may have.
  const all = (): readonly string[] => deviceNames(machine).filter((name) => !name.endsWith('-cpu'));
  const devices = WANTED === undefined ? sample : WANTED === 'all' ? all() : WANTED.split(',');
  const wrong: string[] = [];
  for (const device of devices) {
    const outcome = await walkDevice(machine, device);
    const line = `${machine.title} with ${device ?? 'no other device'}: ${words(outcome)}`;
    t.log(line);
    if (WANTED !== undefined) process.stderr.write(`${line}\n`);
    const startsHere = outcome.kind !== 'needs help' || WANTED === 'all';
    if (!isExpected(device, outcome) || !startsHere) wrong.push(line);
  }
  t.deepEqual(wrong, []);
}

function isExpected(device: string | undefined, outcome: Outcome): boolean {
  if (device !== undefined && QEMU_REFUSES.has(device)) {
    return outcome.kind === 'refused' && outcome.rule === 'blocked';
  }
  if (device !== undefined && QEMU_DIES.has(device)) {
    return outcome.kind === 'failed' && outcome.why.includes('QEMU was killed by');
  }
  return outcome.kind === 'fine' || outcome.kind === 'needs help';
}

function words(outcome: Outcome): string {
  if (outcome.kind === 'fine') return `fine (${outcome.args.join(' ')})`;
  if (outcome.kind === 'needs help') return `QEMU does not start: ${outcome.why}`;
  if (outcome.kind === 'refused') return `refused by rule ${outcome.rule}: ${outcome.why}`;
  return `FAILED in ${outcome.step}: ${outcome.why}`;
}
