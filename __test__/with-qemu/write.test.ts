import { readFile, writeFile } from 'node:fs/promises';

import { pack, Snapshot, unpack } from '../../ts/index.ts';
import { loadFrom, saveTo, type MigrationOptions } from '../support/plain-migration.ts';
import { startGuest, type GuestSetup, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { WAYS, type Way } from '../support/ways.ts';

const LOADS: readonly { readonly title: string; readonly options: MigrationOptions }[] = [
  { title: 'one channel', options: {} },
  { title: 'multifd', options: { multifd: true, channels: 4 } },
  { title: 'multifd and direct-io', options: { multifd: true, channels: 4, directIo: true } },
];

/** Every pair of a way through the engine and a way in which QEMU can load, each with one of the machines. */
const CASES: readonly {
  readonly setup: GuestSetup;
  readonly way: Way;
  readonly load: (typeof LOADS)[number];
}[] = WAYS.flatMap((way, row) =>
  LOADS.map((load, column) => ({
    setup: [{ machine: 'q35' }, { machine: 'pc' }, { machine: 'q35', numa: true }][(row + column) % 3] ?? {},
    way,
    load,
  })),
);

for (const { setup, way, load } of CASES) {
  const title = `${setup.machine}${setup.numa === true ? ' with two NUMA blocks' : ''}, ${way.ioEngine}, direct I/O ${way.directIo}, loaded with ${load.title}`;
  qemuTest(`what we pack QEMU restores, and the guest goes on: ${title}`, async (t) => {
    await using dir = await temporaryDirectory();
    const snapshot = dir.file('guest.snapshot');
    await packSharedGuest(setup, dir, snapshot, way);
    await using restored = await startGuest({ ...setup, backend: 'ram', incoming: true });
    await loadFrom(restored.qmp, `file:${snapshot}`, load.options);
    const before = await restored.checkMemory();
    const after = await restored.assertAlive();
    t.true(after.generation > before.generation);
  });
}

/** Packs a guest whose RAM is in shared files, so that QEMU writes its device state only. */
async function packSharedGuest(
  setup: GuestSetup,
  dir: TemporaryDirectory,
  target: string,
  way?: Way,
): Promise<void> {
  await using guest = await startGuest({ ...setup, backend: 'file', share: true, memPathDir: dir.path });
  await guest.waitForGenerations(3);
  await guest.stop();
  const state = dir.file('state');
  await saveTo(guest.qmp, `file:${state}`, { mappedRam: false, xIgnoreShared: true });
  await pack(`file:${target}`, { state, ram: sharedRam(guest, dir), ...way, channels: 2, overwrite: true });
}

function sharedRam(guest: TestGuest, dir: TemporaryDirectory): Record<string, string> {
  return Object.fromEntries(guest.memoryBlocks.map((id) => [id, dir.file(`${id}.ram`)]));
}

qemuTest('a pack at an offset keeps what is before it, and QEMU restores from there', async (t) => {
  await using dir = await temporaryDirectory();
  const target = dir.file('container');
  await writeFile(target, Buffer.alloc(12288, 'L'));
  await packSharedGuest({}, dir, `${target},offset=12288`);
  t.true((await readFile(target)).subarray(0, 12288).every((byte) => byte === 0x4c));
  await using restored = await startGuest({ backend: 'ram', incoming: true });
  await loadFrom(restored.qmp, `file:${target},offset=12288`, { multifd: true });
  await restored.assertAlive();
});

for (const machine of ['q35', 'pc']) {
  qemuTest(`QEMU's file, unpacked and packed again, restores: ${machine}`, async (t) => {
    await using dir = await temporaryDirectory();
    const [first, second] = [dir.file('first'), dir.file('second')];
    const state = dir.file('state');
    const ram = { 'pc.ram': dir.file('pc.ram') };
    await saveRunningGuest({ machine }, first);
    await unpack(first, { ram, state });
    await pack(second, { state, ram });
    const blocks = await blocksOf(first);
    t.deepEqual(await blocksOf(second), blocks);
    await using restored = await startGuest({ machine, incoming: true });
    await loadFrom(restored.qmp, `file:${second}`, { multifd: true, channels: 4, directIo: true });
    const before = await restored.checkMemory();
    const after = await restored.assertAlive();
    t.true(after.generation > before.generation);
  });

  for (const share of [true, false]) {
    qemuTest(
      `unpacked RAM in a memory-backend-file, share=${share}, and the state restore without mapped-ram: ${machine}`,
      async (t) => {
        await using dir = await temporaryDirectory();
        const snapshot = dir.file('guest.snapshot');
        const state = dir.file('state');
        await saveRunningGuest({ machine, backend: 'ram' }, snapshot);
        await unpack(snapshot, { ram: { m0: dir.file('m0.ram') }, state });
        await using restored = await startGuest({
          machine,
          backend: 'file',
          share,
          memPathDir: dir.path,
          incoming: true,
        });
        await loadFrom(restored.qmp, `file:${state}`, { mappedRam: false });
        const before = await restored.checkMemory();
        const after = await restored.assertAlive();
        t.true(after.generation > before.generation);
      },
    );
  }
}

async function saveRunningGuest(setup: GuestSetup, file: string): Promise<void> {
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(3);
  await saveTo(guest.qmp, `file:${file}`, { multifd: true, channels: 2 });
}

async function blocksOf(uri: string): Promise<unknown> {
  await using snapshot = await Snapshot.open(uri);
  const { blocks, machine } = await snapshot.info();
  return { machine, blocks: blocks.map(({ id, length, setPages }) => ({ id, length, setPages })) };
}
