import test from 'ava';

import { POOL_WAITS } from '../../ts/pool/pool-options.ts';
import { PoolGuests } from '../support/pool-guests.ts';
import { saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { sharedGuest } from './guests.ts';
import { binaryOf, versionsTest, WITH_MAPPED_RAM, WITHOUT_MAPPED_RAM } from './qemus.ts';

const directory = await temporaryDirectory();
test.after.always(() => directory[Symbol.asyncDispose]());
const snapshot = directory.file('guest.snapshot');

versionsTest('a snapshot for pools is made', async (t) => {
  await saveGuest(sharedGuest('10.0'), snapshot);
  t.pass();
});

for (const version of WITH_MAPPED_RAM) {
  versionsTest(`QEMU ${version} waits in a pool, in either way`, async (t) => {
    for (const wait of POOL_WAITS) {
      const guests = new PoolGuests(directory, sharedGuest(version));
      await using pool = await guests.pool(snapshot, { size: 1, wait, binary: binaryOf(version) });
      await using guest = await pool.take();
      t.is(guest.runState, 'running');
      await guests.testGuest(guest).assertAlive();
    }
  });
}

for (const version of WITHOUT_MAPPED_RAM) {
  versionsTest(`QEMU ${version} is refused for a pool: it cannot map a part of a file`, async (t) => {
    const guests = new PoolGuests(directory, sharedGuest(version));
    await t.throwsAsync(guests.pool(snapshot, { size: 1, binary: binaryOf(version) }), {
      code: 'ERR_MAPPED_RAM_UNSUPPORTED',
      message: /cannot map a part of a file privately/,
    });
  });
}
