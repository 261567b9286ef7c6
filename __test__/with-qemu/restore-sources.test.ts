import { copyFile, open } from 'node:fs/promises';

import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { convert, negotiate, Snapshot } from '../../ts/index.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

qemuTest(
  'a guest is restored out of a snapshot that is open, by name or by descriptor, and stays so',
  async (t) => {
    await using dir = await temporaryDirectory();
    const path = dir.file('guest,offset=4096');
    await saveGuest({}, dir.file('guest.snapshot'));
    await copyFile(dir.file('guest.snapshot'), path);
    await using handle = await open(path, 'r');
    for (const source of [{ path }, { fd: handle.fd }]) {
      await using snapshot = await Snapshot.open(source);
      for (const mode of MODE_NAMES) {
        await using guest = await restoreGuest(snapshot, {}, { mode });
        await guest.assertAlive();
      }
      const { id = '', length = 0 } = snapshot.completeRam().blocks[0] ?? {};
      t.is((await snapshot.read(id, length - 4096, 4096)).length, 4096);
    }
  },
);

qemuTest('a plan for a restore reads the file of a literal path at its offset', async (t) => {
  await using dir = await temporaryDirectory();
  await saveGuest({}, dir.file('guest.snapshot'));
  // A migration URI would make another name and offset of this name.
  const filename = dir.file('guest,offset=4096');
  const offset = 1 << 20;
  await convert(dir.file('guest.snapshot'), { path: filename, offset });
  await using qemu = await startGuest({ incoming: true });
  const target = { transport: 'file', filename, offset } as const;
  const plan = await negotiate(qemu.qmp, { direction: 'restore', target });
  t.true(plan.mappedRam.value);
  await using snapshot = await Snapshot.open(dir.file('guest.snapshot'));
  for (const given of [snapshot, { path: dir.file('guest.snapshot') }, dir.file('guest.snapshot')]) {
    const same = await negotiate(qemu.qmp, { direction: 'restore', target, snapshot: given });
    t.deepEqual(same.mappedRam, plan.mappedRam);
  }
  t.true(snapshot.index.complete);
  const elsewhere = { ...target, offset: 4096 };
  await t.throwsAsync(negotiate(qemu.qmp, { direction: 'restore', target: elsewhere }), {
    code: 'ERR_MAPPED_RAM_BAD_MAGIC',
  });
});
