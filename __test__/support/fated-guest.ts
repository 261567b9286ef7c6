import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { QEMU_BINARY } from './qemu-binary.ts';

/** Boot code that brings a guest under TCG into a state of its own; it needs the arguments beside it. */
export const FATES: {
  readonly [State in 'suspended' | 'guest-panicked' | 'watchdog' | 'io-error' | 'shutdown']: Fate;
} = {
  // SMI turns ACPI on; PM1a control is told to suspend to RAM; hlt.
  suspended: { code: [0xb0, 0xf1, 0xe6, 0xb2, 0xba, 0x04, 0x06, 0xb8, 0x01, 0x24, 0xef, 0xf4], args: [] },
  // Port 0x505 of pvpanic.
  'guest-panicked': {
    code: [0xba, 0x05, 0x05, 0xb0, 0x01, 0xee],
    args: ['-device', 'pvpanic', '-action', 'panic=pause'],
  },
  // Port 0x443 of ib700 sets a time of zero.
  watchdog: {
    code: [0xba, 0x43, 0x04, 0xb0, 0x0f, 0xee],
    args: ['-device', 'ib700', '-action', 'watchdog=pause'],
  },
  // The BIOS writes sector 1, and the disk fails.
  'io-error': {
    code: [0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xbb, 0x00, 0x7c, 0xcd, 0x13],
    args: [],
    drive:
      'werror=stop,file.driver=blkdebug,file.inject-error.0.event=pwritev,file.inject-error.0.errno=5,file.inject-error.0.once=on',
  },
  // Port 0x64 of the keyboard controller resets the machine.
  shutdown: { code: [0xb0, 0xfe, 0xe6, 0x64], args: ['-action', 'reboot=shutdown,shutdown=pause'] },
};

interface Fate {
  readonly code: readonly number[];
  readonly args: readonly string[];
  readonly drive?: string;
}

/** The command line of a q35 guest, with QEMU's default devices, that boots from a disk into a state. */
export async function fatedGuestArgs(disk: string, state: keyof typeof FATES): Promise<readonly string[]> {
  const { code, args, drive } = FATES[state];
  const sectors = new Uint8Array(2 ** 20);
  sectors.set([...code, 0xeb, 0xfe]);
  sectors.set([0x55, 0xaa], 510);
  await writeFile(disk, sectors);
  const bare = '-accel tcg -machine q35 -m 64M -display none -net none'.split(' ');
  // The image is not locked, so that a clone runs beside its guest.
  const image =
    drive === undefined
      ? `file=${disk},file.locking=off`
      : `${drive},file.image.driver=file,file.image.filename=${disk},file.image.locking=off`;
  return [...bare, ...args, '-drive', `format=raw,if=ide,${image}`];
}

/** Starts such a guest, and waits until it is in its state. */
export async function startFatedGuest(args: readonly string[], state: string): Promise<QemuProcess> {
  const qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
  try {
    await untilState(qemu.qmp, state);
    return qemu;
  } catch (error) {
    await qemu.close();
    throw error;
  }
}

/** Waits for a run state. */
export async function untilState(qmp: QmpClient, wanted: string, timeoutMs = 30_000): Promise<void> {
  const endsAt = Date.now() + timeoutMs;
  for (;;) {
    const { status } = await qmp.execute('query-status');
    if (status === wanted) return;
    assert(Date.now() < endsAt, `the guest is ${status}, not ${wanted}`);
    await delay(20);
  }
}
