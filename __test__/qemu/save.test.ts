import { readdir } from 'node:fs/promises';

import { save } from '../../ts/index.ts';
import { startGuest, type GuestSetup } from '../helpers/qemu.ts';
import { qemuTest } from '../helpers/qemu-required.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';
import { restoreGuest } from '../restore/restored-guest.ts';

const SETUPS: readonly GuestSetup[] = [
  {},
  { backend: 'file', share: true },
  { backend: 'file', share: true, numa: true },
];

for (const setup of SETUPS) {
  qemuTest(`save ${JSON.stringify(setup)}`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    const before = await settings(guest.qmp);
    const result = await save(guest.qmp, dir.file('snap'), { onProgress: (p) => t.log(JSON.stringify(p)) });
    t.log({ ...result, plan: undefined });
    t.deepEqual(await settings(guest.qmp), before);
    t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
    t.deepEqual(await readdir(dir.path), ['snap']);
    t.is(await guest.runState(), 'running');
    await guest.assertAlive();
    await using clone = await restoreGuest(dir.file('snap'), { ...setup, share: false }, { mode: 'instant' });
    await clone.assertAlive();
  });
}
