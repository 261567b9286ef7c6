import { setTimeout as delay } from 'node:timers/promises';

import { migrateOut } from '../../ts/qemu/migration.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { setCapabilities } from '../negotiate/carry-out.ts';

const TIMES = 24;
/** The latest cancel, in ms after the start of a save. A save of this guest takes longer. */
const LATEST_MS = 40;

qemuTest('saves by several channels are cancelled at any moment, and QEMU survives it', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ region: { start: 16 * 2 ** 20, length: 96 * 2 ** 20 } });
  await guest.waitForGenerations(1);
  await setCapabilities(guest.qmp, 'mapped-ram', 'multifd');
  await guest.qmp.execute('migrate-set-parameters', { 'multifd-channels': 4, 'max-bandwidth': 0 });
  let cancelled = 0;
  for (let time = 0; time < TIMES; time += 1) {
    await guest.stop();
    const controller = new AbortController();
    const saving = migrateOut(guest.qmp, `file:${dir.file('snapshot')}`, { signal: controller.signal });
    await delay((time * LATEST_MS) / TIMES);
    controller.abort();
    await saving.catch(() => (cancelled += 1));
    t.is((await guest.qmp.execute('query-migrate-parameters'))['max-bandwidth'], 0);
    await guest.cont();
  }
  t.true(cancelled > TIMES / 4, `${cancelled} of ${TIMES} were cancelled`);
  await guest.assertAlive();
});
