import { composeSnapshot } from '../support/composed-snapshot.ts';
import { loadFrom } from '../support/plain-migration.ts';
import { type GuestSetup, startGuest } from '../support/qemu.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { DeviceState, withDeviceState } from '../../ts/qemu/state/device-state.ts';
import { isStoppedGuestAsleep } from '../../ts/qemu/is-asleep.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { errorsIn, privateGuest } from './guests.ts';
import { binaryOf, Q35, versionsTest, WITH_MAPPED_RAM } from './qemus.ts';

/**
 * Devices beside those that QEMU adds on its own, which all of these versions have and take over from each other: 11.1
 * takes no virtio device of 10.0 that the guest has not set up, whoever wrote it.
 */
const EXTRA = '-device VGA -device qemu-xhci -device intel-hda -device usb-tablet'.split(' ');

for (const saver of WITH_MAPPED_RAM) {
  for (const machine of ['q35', Q35]) {
    versionsTest(
      `QEMU ${saver}, ${machine}: device state and memory make a snapshot that goes on`,
      async (t) => {
        await using dir = await temporaryDirectory();
        const path = dir.file('snapshot');
        const setup: GuestSetup = { ...privateGuest(saver), machine, extraArgs: EXTRA };
        const saved = await (async () => {
          await using guest = await startGuest(setup);
          await guest.waitForGenerations(2);
          await composeSnapshot(guest, path);
          const progress = await guest.checkMemory();
          await guest.assertAlive();
          return progress;
        })();
        t.deepEqual(await errorsIn(path), []);
        // Of the versioned type, either version takes over the guests of the other.
        for (const loader of machine === Q35 ? WITH_MAPPED_RAM : [saver]) {
          await using guest = await startGuest({ ...setup, binary: binaryOf(loader), incoming: true });
          await guest.qmp.execute('stop');
          await loadFrom(guest.qmp, `file:${path}`, { multifd: true });
          t.deepEqual(await guest.checkMemory(), saved, loader);
          await guest.assertAlive();
        }
        for (const mode of MODE_NAMES) {
          await using guest = await restoreGuest(path, setup, { mode, after: 'stop' });
          t.deepEqual(await guest.checkMemory(), saved, mode);
          await guest.assertAlive();
        }
      },
    );
  }
}

versionsTest(
  'QEMU 11.1 saves virtio-mem’s early section with its other devices, and takes it back',
  async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('snapshot');
    const setup: GuestSetup = {
      binary: binaryOf('11.1'),
      memoryArgs: ['-m', '64M,maxmem=1G,slots=2', '-object', 'memory-backend-ram,id=more,size=128M'],
      memoryBlocks: ['pc.ram'],
      region: { start: 16 * 2 ** 20, length: 16 * 2 ** 20 },
      extraArgs: ['-device', 'virtio-mem-pci,id=vm0,memdev=more,requested-size=64M'],
    };
    {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      await composeSnapshot(guest, path);
    }
    for (const multifd of [false, true]) {
      await using guest = await startGuest({ ...setup, incoming: true });
      await loadFrom(guest.qmp, `file:${path}`, { multifd });
      const { generation } = await guest.assertAlive();
      t.true(generation > 0);
    }
  },
);

/** Devices that these versions cannot save. */
const UNSAVABLE: readonly (readonly ['7.2' | '10.0' | '11.1', readonly string[]])[] = [
  ['7.2', ['-drive', 'if=none,id=d,driver=null-co', '-device', 'nvme,drive=d,serial=x']],
  ['10.0', ['-drive', 'if=none,id=d,driver=null-co', '-device', 'nvme,drive=d,serial=x']],
  ['10.0', ['-audiodev', 'none,id=a', '-device', 'virtio-sound-pci,audiodev=a']],
  ['11.1', ['-audiodev', 'none,id=a', '-device', 'virtio-sound-pci,audiodev=a']],
];

for (const [version, args] of UNSAVABLE) {
  versionsTest(`QEMU ${version} is not asked for the state of ${args.at(-1)}`, async (t) => {
    const common = ['-nodefaults', '-display', 'none', '-machine', 'q35', '-S'];
    await using qemu = await QemuProcess.start({ binary: binaryOf(version), args: [...common, ...args] });
    const error = await t.throwsAsync(withDeviceState(qemu.qmp, {}, async () => undefined));
    t.like(error, { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
    t.regex(error?.message ?? '', /cannot be saved: .*(?:nvme|virtio-sound|virtio-snd)/);
    t.is(await isStoppedGuestAsleep(qemu.qmp, {}), undefined);
    t.is((await qemu.qmp.execute('query-status')).status, 'prelaunch');
    await qemu.quit();
  });
}

versionsTest(
  'QEMU 5.2 is not asked for device state: it does not tell of devices that it cannot save',
  async (t) => {
    await using guest = await startGuest(privateGuest('5.2'));
    await t.throwsAsync(DeviceState.ready(guest.qmp), {
      code: 'ERR_MAPPED_RAM_UNSUPPORTED',
      message: /older than 6\.0/,
    });
    await guest.assertAlive();
  },
);
