import { deviceNames, type Outcome, walkDevice, type WalkedMachine } from '../support/device-walk.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';

/** `all`: every device that QEMU has, which takes a quarter of an hour per machine; or names, with commas between. */
const WANTED = process.env['MAPPED_RAM_DEVICE_WALK'];

const MACHINES: readonly { readonly machine: WalkedMachine; readonly sample: readonly string[] }[] = [
  {
    machine: {
      title: 'q35',
      binary: QEMU_BINARY,
      machine: 'q35',
      start: (extraArgs) => startGuest(q35(extraArgs)),
      restore: (snapshot, mode, extraArgs) => restoreGuest(snapshot, q35(extraArgs), { mode }),
    },
    sample: [],
  },
];

function q35(extraArgs: readonly string[]): GuestSetup {
  const region = { start: 16 * MIB, length: 2 * MIB };
  return { defaultDevices: true, memoryMiB: 64, backend: 'file', share: true, region, extraArgs };
}
