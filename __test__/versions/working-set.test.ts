import { rm } from 'node:fs/promises';

import test from 'ava';

import { dropPageCache } from '../../ts/engine/page-cache.ts';
import { recordWorkingSet } from '../../ts/working-set/record-working-set.ts';
import { MIB, type GuestSetup } from '../support/qemu.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { sharedGuest } from './guests.ts';
import { type Version, versionsTest, WITH_MAPPED_RAM } from './qemus.ts';

const REGION = { start: 16 * MIB, length: 8 * MIB };
/** Some pages of the region are zero, and so not in the snapshot. */
const LEAST = 0.7 * REGION.length;

const directory = await temporaryDirectory();
test.after.always(() => directory[Symbol.asyncDispose]());
const snapshot = directory.file('guest.snapshot');

function setup(version: Version): GuestSetup {
  return { ...sharedGuest(version), region: REGION };
}

versionsTest('a snapshot for working sets is made', async (t) => {
  await saveGuest(setup('10.0'), snapshot);
  t.pass();
});

for (const version of WITH_MAPPED_RAM) {
  versionsTest(`the working set of QEMU ${version} is recorded, and read ahead`, async (t) => {
    await rm(`${snapshot}.working-set`, { force: true });
    await dropPageCache(snapshot);
    {
      await using guest = await restoreGuest(snapshot, setup(version), {});
      await guest.waitForGenerations(2);
      const { bytes, blocks } = await recordWorkingSet(guest.qmp, snapshot);
      t.true(bytes >= LEAST, `${bytes}`);
      t.deepEqual(blocks, ['m0']);
    }
    await dropPageCache(snapshot);
    await using guest = await restoreGuest(snapshot, setup(version), { after: 'stop' });
    t.true((guest.restored.workingSet?.bytes ?? 0) >= LEAST);
    await guest.assertAlive();
  });
}
