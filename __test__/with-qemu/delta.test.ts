import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { diff, flatten, openStateStream, Snapshot, verify } from '../../ts/index.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { DELTA_HEAD_BYTES } from '../../ts/stream/constants.ts';
import { loadFrom } from '../support/plain-migration.ts';
import { type GuestSetup, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { type Saved, saveTwice, writeBetween } from '../support/saved-twice.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { binaryOf } from '../versions/qemus.ts';

const SETUP: GuestSetup = { memoryMiB: 64, region: { start: 16 * 2 ** 20, length: 8 * 2 ** 20 } };

/** Compares all blocks of a guest that stands still with a snapshot, byte by byte. */
async function assertMemory(
  t: ExecutionContext,
  guest: TestGuest,
  path: string,
  what: string,
): Promise<void> {
  await using snapshot = await Snapshot.open(path);
  for (const { id, length } of snapshot.completeRam().blocks) {
    const [found, wanted] = [await guest.readBlock(id, 0, length), await snapshot.read(id, 0, length)];
    t.is(Buffer.compare(found, wanted), 0, `${what}: ${id}`);
  }
}

/** Restores the delta in all modes, compares its memory, and lets the guest prove it. */
async function restores(t: ExecutionContext, saved: Saved, setup: GuestSetup): Promise<void> {
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(saved.delta, setup, { mode, after: 'stop' });
    const { restored } = guest;
    t.deepEqual(restored.warnings, [], mode);
    t.is(restored.form, mode === 'instant' ? 'mapped-ram' : 'stream', `${mode}: ${restored.why}`);
    await assertMemory(t, guest, saved.later, mode);
    const before = await guest.checkMemory();
    t.true((await guest.assertAlive()).generation > before.generation, mode);
  }
}

const NEWEST = binaryOf('11.1');
const BINARIES = [QEMU_BINARY, ...(existsSync(NEWEST) ? [NEWEST] : [])];

for (const binary of BINARIES) {
  for (const machine of ['q35', 'pc']) {
    for (const numa of [false, true]) {
      const kind = `${machine}, ${numa ? 'two NUMA blocks' : 'one block'}, ${binary}`;
      qemuTest(`a delta and its base go on in all modes as the later guest: ${kind}`, async (t) => {
        await using dir = await temporaryDirectory();
        const { region: _, ...bare } = SETUP;
        const setup = { ...(numa ? bare : SETUP), binary, machine, numa, extraArgs: ['-device', 'VGA'] };
        const saved = await saveTwice(setup, dir);
        t.true((await diff(saved.delta, saved.later)).equal);
        t.true((await verify(saved.delta)).verified);
        t.false((await diff(saved.base, saved.delta)).equal);
        await restores(t, saved, setup);
      });
    }
  }

  qemuTest(`no QEMU loads a delta by mistake, and one with the base mapped may: ${binary}`, async (t) => {
    await using dir = await temporaryDirectory();
    const setup = { ...SETUP, binary };
    const { base, later, delta } = await saveTwice(setup, dir);
    {
      await using guest = await startGuest({ ...setup, incoming: true });
      await t.throwsAsync(loadFrom(guest.qmp, `file:${delta}`), {
        code: 'ERR_MAPPED_RAM_QEMU',
        message: /x-mapped-ram-base/,
      });
    }
    await using snapshot = await Snapshot.open(base);
    const ram = snapshot.completeRam().blocks.find(({ id }) => id === 'pc.ram');
    const mapping = `size=${ram?.length},mem-path=${base},offset=${ram?.area.pagesOffset},share=off,readonly=on,rom=off`;
    for (const multifd of [false, true]) {
      await using guest = await startGuest({
        ...setup,
        incoming: true,
        memoryArgs: [
          '-m',
          '64M',
          '-object',
          `memory-backend-file,id=pc.ram,${mapping}`,
          '-machine',
          'memory-backend=pc.ram',
        ],
      });
      await loadFrom(guest.qmp, `file:${delta},offset=${DELTA_HEAD_BYTES}`, { multifd });
      await guest.stop();
      await assertMemory(t, guest, later, `multifd ${multifd}`);
      await guest.assertAlive();
    }
  });
}

qemuTest(
  'a delta whose small blocks are not whole comes as a stream, and is right all the same',
  async (t) => {
    await using dir = await temporaryDirectory();
    const saved = await saveTwice(SETUP, dir);
    await using memory = await Snapshot.open(saved.later);
    const sparse = { ...saved, delta: dir.file('sparse.delta') };
    await writeBetween(
      sparse,
      memory.completeRam().blocks.map(({ id }) => id),
    );
    await using guest = await restoreGuest(sparse.delta, SETUP, { mode: 'instant', after: 'stop' });
    t.is(guest.restored.form, 'stream');
    t.true(guest.restored.locked);
    await assertMemory(t, guest, saved.later, 'stream');
    await guest.assertAlive();
  },
);

qemuTest('a state stream made beforehand serves several clones of a delta', async (t) => {
  await using dir = await temporaryDirectory();
  const saved = await saveTwice(SETUP, dir);
  await using state = await openStateStream(saved.delta, { inPlace: ['pc.ram'], mapped: true });
  for (let clone = 0; clone < 2; clone += 1) {
    await using guest = await restoreGuest(saved.delta, SETUP, { mode: 'instant', state, after: 'stop' });
    t.is(guest.restored.form, 'stream');
    await assertMemory(t, guest, saved.later, `clone ${clone}`);
  }
  await t.throwsAsync(restoreGuest(saved.base, SETUP, { mode: 'instant', state }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /another snapshot/,
  });
});

qemuTest('what flatten makes of a delta goes on without the base, in all modes', async (t) => {
  await using dir = await temporaryDirectory();
  const saved = await saveTwice(SETUP, dir);
  const flat = dir.file('flat.mr');
  await flatten(saved.delta, flat);
  t.true((await diff(flat, saved.later)).equal);
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(flat, SETUP, { mode, after: 'stop' });
    await assertMemory(t, guest, saved.later, mode);
    await guest.assertAlive();
  }
});

qemuTest('a guest is not restored from a delta whose base is missing, and QEMU is not started', async (t) => {
  await using dir = await temporaryDirectory();
  const saved = await saveTwice(SETUP, dir);
  await rename(saved.base, dir.file('elsewhere.mr'));
  await t.throwsAsync(restoreGuest(saved.delta, SETUP, { mode: 'instant' }), {
    code: 'ERR_MAPPED_RAM_BASE',
    message: /base\.mr is missing/,
  });
  const source = { path: saved.delta, base: dir.file('elsewhere.mr') };
  await using guest = await restoreGuest(source, SETUP, { mode: 'instant', after: 'stop' });
  await assertMemory(t, guest, saved.later, 'elsewhere');
});
