import { writeFile } from 'node:fs/promises';

import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { save } from '../../ts/save/save.ts';
import { KVM_REGION, kvmTest } from '../support/kvm-test.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { WAYS } from '../save/writers.ts';

/** The setup of a virtual server: disk, network, screen, keyboard, entropy, a balloon and several CPUs. */
async function server(dir: TemporaryDirectory, name: string): Promise<GuestSetup> {
  const disk = dir.file(`${name}.disk`);
  await writeFile(disk, Buffer.alloc(MIB));
  const devices = [
    'virtio-blk-pci,drive=data',
    'virtio-net-pci,netdev=net',
    'VGA',
    'qemu-xhci',
    'usb-kbd',
    'virtio-rng-pci',
    'virtio-balloon-pci',
  ];
  const drive = `if=none,id=data,format=raw,file=${disk}`;
  const host = ['-smp', '2', '-netdev', 'user,id=net', '-drive', drive];
  return { extraArgs: host.concat(devices.flatMap((device) => ['-device', device])) };
}

for (const { way, writer, setup, options } of WAYS) {
  qemuTest(`${way}: a server with virtio disk, network, screen and USB goes on in all modes`, async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest.snapshot');
    {
      await using guest = await startGuest({ ...setup, ...(await server(dir, 'source')) });
      await guest.waitForGenerations(2);
      const saved = await save(guest.qmp, path, options);
      t.like(saved, { writer, runState: 'running', warnings: [] });
      t.true(saved.blocks.some(({ id, length }) => id.endsWith('/vga.vram') && length === 16 * MIB));
      await guest.assertAlive();
    }
    for (const mode of MODE_NAMES) {
      await using guest = await restoreGuest(path, { ...setup, ...(await server(dir, mode)) }, { mode });
      t.deepEqual(guest.restored.warnings, [], mode);
      await guest.assertAlive();
    }
  });
}

kvmTest('a guest under KVM is saved while it runs, and goes on', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.snapshot');
  const setup: GuestSetup = { backend: 'file', share: true, accel: 'kvm', region: KVM_REGION };
  {
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    t.like(await save(guest.qmp, path), { writer: 'engine', runState: 'running' });
    await guest.assertAlive();
  }
  await using guest = await restoreGuest(path, setup, { mode: 'instant' });
  await guest.assertAlive();
});
