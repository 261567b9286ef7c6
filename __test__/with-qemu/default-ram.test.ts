import { readdir } from 'node:fs/promises';

import { askMachines } from '../../ts/qemu/process/ask-machines.ts';
import { defaultRamIds } from '../../ts/stream/default-ram.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { qemuTest } from '../support/qemu-required.ts';

/** A machine of other architectures that have the name, too: its memory is the board's. */
const SHARED_NAME = 'virt';

/** The QEMU of the tests, and all others in the directories of programs. */
async function binaries(): Promise<readonly string[]> {
  const found = new Set([QEMU_BINARY]);
  for (const name of await readdir('/usr/bin').catch(() => [])) {
    if (/^qemu-system-\w+$/.test(name)) found.add(`/usr/bin/${name}`);
  }
  return [...found];
}

qemuTest('the table of machine types says what every QEMU here says', async (t) => {
  let compared = 0;
  for (const binary of await binaries()) {
    for (const { name, 'default-ram-id': id } of await askMachines({ binary })) {
      const ids = defaultRamIds(name);
      // Newer and older QEMUs have machines that the table lacks; then nobody says anything wrong.
      if (ids === undefined || (id === undefined && name === SHARED_NAME)) continue;
      t.deepEqual(
        id === undefined ? [] : [id],
        id === undefined ? ids : ids.filter((one) => one === id),
        `${binary} ${name}`,
      );
      compared += 1;
    }
  }
  t.true(compared > 50, `${compared} machine types`);
});

qemuTest('a program that is no QEMU has no machines, and nobody waits for it', async (t) => {
  for (const binary of ['/bin/true', '/bin/cat', '/nonexistent']) {
    t.deepEqual(await askMachines({ binary }), [], binary);
  }
  const signal = AbortSignal.abort(new Error('enough'));
  await t.throwsAsync(askMachines({ binary: QEMU_BINARY, signal }), { message: 'enough' });
});
