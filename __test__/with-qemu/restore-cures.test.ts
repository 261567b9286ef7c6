import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Cure {
  readonly saved: string;
  /** A device that does not fit. */
  readonly other: string;
  readonly words: RegExp;
  /** The device with what the words say. */
  readonly cured: string;
}

const CURES: Readonly<Record<string, Cure>> = {
  'an option ROM of another size': {
    saved: 'virtio-net-pci,addr=9,romsize=524288',
    other: 'virtio-net-pci,addr=9,id=nic7',
    words:
      /block 0000:00:09\.0\/virtio-net-pci\.rom has 524288 bytes .*: give the device virtio-net-pci at 0000:00:09\.0 \(Ethernet controller nic7\) romsize=524288,/,
    cured: 'virtio-net-pci,addr=9,id=nic7,romsize=524288',
  },
  'a missing option ROM': {
    saved: 'e1000,addr=9',
    other: 'e1000,addr=9,romfile=',
    words: /no block 0000:00:09\.0\/e1000\.rom, .*: leave romfile= and rombar=0 away from the device e1000/,
    cured: 'e1000,addr=9',
  },
  'video memory of another size': {
    saved: 'VGA,addr=9,vgamem_mb=8',
    other: 'VGA,addr=9',
    words: /block 0000:00:09\.0\/vga\.vram has 8388608 bytes .*: give the device vga at .* vgamem_mb=8$/,
    cured: 'VGA,addr=9,vgamem_mb=8',
  },
};

for (const [title, { saved, other, words, cured }] of Object.entries(CURES)) {
  qemuTest(`the cure for ${title} is named in every mode, and it cures`, async (t) => {
    await using dir = await temporaryDirectory();
    const snapshot = dir.file('guest.mr');
    await saveGuest({ extraArgs: ['-device', saved] }, snapshot);
    for (const mode of MODE_NAMES) {
      const wrong = restoreGuest(snapshot, { extraArgs: ['-device', other] }, { mode });
      await t.throwsAsync(wrong, { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: words }, mode);
      await using guest = await restoreGuest(snapshot, { extraArgs: ['-device', cured] }, { mode });
      await guest.waitForGenerations(1);
    }
  });
}

qemuTest('an option ROM too many is a warning that says how to leave it out', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.mr');
  await saveGuest({ extraArgs: ['-device', 'e1000,addr=9,romfile='] }, snapshot);
  await using guest = await restoreGuest(snapshot, { extraArgs: ['-device', 'e1000,addr=9'] }, {});
  t.deepEqual(guest.restored.warnings, [
    "QEMU's block 0000:00:09.0/e1000.rom is not in the snapshot: give the device e1000 at 0000:00:09.0 (Ethernet controller) romfile= (empty)",
  ]);
});
