import type { RestoreMode } from '../../ts/qemu/plan.ts';
import type { GuestSetup } from '../helpers/qemu.ts';
import { qemuTest } from '../helpers/qemu-required.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { restoreGuest, saveGuest } from '../restore/restored-guest.ts';

const MODES: readonly RestoreMode[] = ['instant', 'preload', 'eager'];
const BACKENDS = [undefined, 'ram', 'file', 'memfd'] as const;

const SETUPS: readonly GuestSetup[] = ['q35', 'pc'].flatMap((machine) =>
  [false, true].flatMap((numa) =>
    BACKENDS.filter((backend) => backend !== undefined || !numa).map((backend) =>
      // File and memfd backends are shared, as people who use them have them.
      backend === undefined ? { machine, numa } : { machine, numa, backend, share: backend !== 'ram' },
    ),
  ),
);

for (const setup of SETUPS) {
  const blocks = setup.numa === true ? 'two NUMA blocks' : 'one block';
  const memory = setup.backend === undefined ? 'plain -m' : `memory-backend-${setup.backend}`;
  qemuTest(
    `a guest goes on with its memory intact in all modes: ${setup.machine}, ${blocks}, ${memory}`,
    async (t) => {
      await using dir = await temporaryDirectory();
      const snapshot = dir.file('guest.snapshot');
      await saveGuest(setup, snapshot);
      for (const mode of MODES) {
        await using guest = await restoreGuest(snapshot, setup, { mode, then: 'pause' });
        t.is(await guest.runState(), 'paused');
        const before = await guest.checkMemory();
        const after = await guest.assertAlive();
        t.true(after.generation > before.generation, mode);
        t.deepEqual(guest.restored.warnings, []);
        t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
      }
    },
  );
}
