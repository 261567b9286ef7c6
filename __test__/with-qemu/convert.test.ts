import { spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { convert, pack, Snapshot } from '../../ts/index.ts';
import { migrateOut } from '../../ts/qemu/migration.ts';
import { loadFrom, saveTo, type MigrationOptions } from '../support/plain-migration.ts';
import { isQmpObject } from '../../ts/qmp/json.ts';
import { libvirtBeginning } from '../support/libvirt.ts';
import { memoryOf } from '../support/memory-of.ts';
import { MIB, startGuest, type GuestSetup, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';

/** A small guest, so that guests fit beside each other. */
const SMALL: GuestSetup = { memoryMiB: 64, region: { start: 16 * MIB, length: 16 * MIB } };
/** A guest with a device whose section is marked early. */
const VIRTIO_MEM: GuestSetup = {
  ...SMALL,
  memoryArgs: ['-m', '64M,maxmem=1G,slots=2', '-object', 'memory-backend-ram,id=more,size=128M'],
  memoryBlocks: ['pc.ram'],
  extraArgs: ['-device', 'virtio-mem-pci,id=vm0,memdev=more,requested-size=64M'],
};

async function save(setup: GuestSetup, uri: string, options: MigrationOptions): Promise<void> {
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  // A running guest under TCG may write to a page that QEMU then does not save again.
  await guest.stop();
  await saveTo(guest.qmp, uri, options);
}

/** Asserts that QEMU loads the file, and that the guest, which checks its own memory, goes on. */
async function assertGoesOn(
  t: ExecutionContext,
  setup: GuestSetup,
  uri: string,
  options: MigrationOptions,
): Promise<void> {
  await using restored = await startGuest({ ...setup, incoming: true });
  await loadFrom(restored.qmp, uri, options);
  const before = await restored.checkMemory();
  const after = await restored.assertAlive();
  t.true(after.generation > before.generation, uri);
}

/** The device state of a file, section by section. */
async function devicesOf(path: string): Promise<readonly unknown[]> {
  const bytes = await readFile(path);
  await using snapshot = await Snapshot.open(path);
  if (snapshot.index.problem !== undefined) throw snapshot.index.problem;
  return snapshot.index.sections.map(({ idstr, instanceId, early, offset, length }) => ({
    idstr,
    instanceId,
    early,
    bytes: bytes.subarray(offset, offset + length).toString('hex'),
  }));
}

/** Asserts that two memories are equal. Their buffers are too large for `deepEqual`. */
function assertSame(
  t: ExecutionContext,
  found: ReadonlyMap<string, Buffer>,
  expected: ReadonlyMap<string, Buffer>,
): void {
  t.deepEqual([...found.keys()], [...expected.keys()]);
  for (const [id, bytes] of expected) t.is(Buffer.compare(found.get(id) ?? Buffer.alloc(0), bytes), 0, id);
}

const MACHINES: readonly (readonly [string, GuestSetup])[] = [
  ['q35', SMALL],
  ['i440fx', { ...SMALL, machine: 'pc' }],
  ['q35 with two NUMA blocks', { machine: 'q35', numa: true }],
  ['q35 with a device that is marked early', VIRTIO_MEM],
];

for (const [title, setup] of MACHINES) {
  qemuTest(
    `a plain stream becomes mapped-ram and plain again, and the guest goes on: ${title}`,
    async (t) => {
      await using dir = await temporaryDirectory();
      const [stream, mapped, back] = [dir.file('stream'), dir.file('mapped'), dir.file('back')];
      await save(setup, `file:${stream}`, { mappedRam: false });
      await convert(stream, mapped);
      await assertGoesOn(t, setup, `file:${mapped}`, { multifd: true, channels: 4, directIo: true });
      await convert(mapped, back, { to: 'stream' });
      await assertGoesOn(t, setup, `file:${back}`, { mappedRam: false });

      const memory = await memoryOf(stream);
      t.true((memory.get(setup.numa === true ? 'm0' : 'pc.ram')?.length ?? 0) >= 64 * MIB);
      assertSame(t, await memoryOf(mapped), memory);
      assertSame(t, await memoryOf(back), memory);
      const devices = await devicesOf(stream);
      t.true(devices.length >= 14);
      t.deepEqual(await devicesOf(mapped), devices);
      t.deepEqual(await devicesOf(back), devices);
      // The file differs from QEMU's own only in the number of records per page.
      const [first, last] = [await readFile(stream), await readFile(back)];
      const tail = first.subarray(first.lastIndexOf('{"page_size"'));
      t.true(last.subarray(-tail.length).equals(tail));
    },
  );
}

for (const [index, way] of WAYS.entries()) {
  const machine = index % 2 === 0 ? 'q35' : 'pc';
  qemuTest(
    `what QEMU wrote at one offset goes on from another: ${machine}, ${way.ioEngine}, direct I/O ${way.directIo}`,
    async (t) => {
      await using dir = await temporaryDirectory();
      const setup = { ...SMALL, machine };
      const [saved, moved, back] = [dir.file('saved'), dir.file('moved'), dir.file('back')];
      await save(setup, `file:${saved},offset=20480`, { multifd: way.directIo === 'on', channels: 2 });
      await writeFile(moved, Buffer.alloc(5000, 'L'));
      const result = await convert(`file:${saved},offset=20480`, `file:${moved},offset=5000`, way);
      t.is(result.transfer?.ioEngine, way.ioEngine);
      t.true((await readFile(moved)).subarray(0, 5000).every((byte) => byte === 0x4c));
      assertSame(t, await memoryOf(moved, 5000), await memoryOf(saved, 20_480));
      await assertGoesOn(t, setup, `file:${moved},offset=5000`, {});
      await convert(`file:${moved},offset=5000`, back, { to: 'stream' });
      await assertGoesOn(t, setup, `file:${back}`, { mappedRam: false });
    },
  );
}

for (const [title, setup] of [
  ['q35', SMALL],
  ['a device that is marked early', VIRTIO_MEM],
] as const) {
  qemuTest(`QEMU saves into a pipe, and a mapped-ram file comes out: ${title}`, async (t) => {
    await using dir = await temporaryDirectory();
    const [fifo, mapped] = [dir.file('fifo'), dir.file('mapped')];
    t.is(spawnSync('mkfifo', [fifo]).status, 0);
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    await guest.stop();
    const [result] = await Promise.all([
      convert(createReadStream(fifo), mapped),
      saveTo(guest.qmp, `exec:cat > ${fifo}`, { mappedRam: false }),
    ]);
    t.is(result.from, 'stream');
    const { 'pc.ram': memory } = Object.fromEntries(await memoryOf(mapped));
    t.is(Buffer.compare(memory ?? Buffer.alloc(0), await guest.readBlock('pc.ram', 0, 64 * MIB)), 0);
    await assertGoesOn(t, setup, `file:${mapped}`, {});
  });
}

/**
 * A guest that changes few enough pages for many rounds, and too many for one: a round at whose end no page is new is
 * the last.
 */
const BUSY: GuestSetup = { memoryMiB: 64, region: { start: 16 * MIB, length: MIB } };

qemuTest('a running guest saved with xbzrle restores from what was made of it, and goes on', async (t) => {
  await using dir = await temporaryDirectory();
  const [stream, mapped, back] = [dir.file('stream'), dir.file('mapped'), dir.file('back')];
  // The guest may be too slow for many deltas, and QEMU may miss a write of a running guest (docs/format.md §4.1).
  let isRight = false;
  for (let time = 0; time < 3 && !isRight; time += 1) {
    await using guest = await startGuest(BUSY);
    await guest.waitForGenerations(1);
    await saveWithXbzrle(guest, `file:${stream}`);
    await using snapshot = await Snapshot.open(stream);
    const { ram } = snapshot.index;
    const records = ram?.form === 'plain' ? ram.pages : undefined;
    t.log(records);
    await convert(stream, mapped, { overwrite: true });
    const { 'pc.ram': memory } = Object.fromEntries(await memoryOf(mapped));
    const found = await guest.readBlock('pc.ram', 0, 64 * MIB);
    isRight = (records?.xbzrle ?? 0) >= DELTAS && Buffer.compare(memory ?? Buffer.alloc(0), found) === 0;
  }
  t.true(isRight);
  await assertGoesOn(t, BUSY, `file:${mapped}`, { multifd: true });
  await convert(mapped, back, { to: 'stream' });
  await assertGoesOn(t, BUSY, `file:${back}`, { mappedRam: false });
  await pack(dir.file('packed'), { state: stream });
  assertSame(t, await memoryOf(dir.file('packed')), await memoryOf(mapped));
});

/** The least number of deltas in the stream. QEMU also tries some in vain, for pages that have not changed. */
const DELTAS = 15;

/** Saves in rounds until QEMU has sent deltas. Then it stops the guest, so that the save comes to its end. */
async function saveWithXbzrle(guest: TestGuest, uri: string): Promise<void> {
  const { qmp } = guest;
  await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'xbzrle', state: true }] });
  await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 8 * MIB, 'downtime-limit': 1 });
  const ended = new AbortController();
  const saved = migrateOut(qmp, uri, { timeoutMs: 120_000 }).finally(() => ended.abort());
  while (!ended.signal.aborted && (await deltasSent(guest)) < 2 * DELTAS) await delay(20);
  await guest.stop();
  await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 0, 'downtime-limit': 2000 });
  await saved;
}

async function deltasSent({ qmp }: TestGuest): Promise<number> {
  const info = await qmp.execute('query-migrate');
  const cache = isQmpObject(info) ? info['xbzrle-cache'] : undefined;
  // `pages` counts the tries; a page that has changed too much overflows and goes as a whole.
  return isQmpObject(cache) ? Number(cache['pages']) - Number(cache['overflow']) : 0;
}

qemuTest('libvirt save images of both forms are converted, and the guest goes on', async (t) => {
  await using dir = await temporaryDirectory();
  const sparse = dir.file('sparse.img');
  const prefix = libvirtBeginning('sparse');
  await using guest = await startGuest(SMALL);
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${sparse},offset=${prefix.length}`, { multifd: true, channels: 2 });
  await writeFileStart(sparse, prefix);
  await convert(sparse, dir.file('stream'), { to: 'stream' });
  await assertGoesOn(t, SMALL, `file:${dir.file('stream')}`, { mappedRam: false });
  const image = dir.file('raw.img');
  await writeFile(image, Buffer.concat([libvirtBeginning('raw'), await readFile(dir.file('stream'))]));
  await convert(image, dir.file('mapped'));
  await assertGoesOn(t, SMALL, `file:${dir.file('mapped')}`, {});
  assertSame(t, await memoryOf(dir.file('mapped')), await memoryOf(sparse, prefix.length));
});

async function writeFileStart(path: string, bytes: Uint8Array): Promise<void> {
  await using handle = await open(path, 'r+');
  await handle.write(bytes, 0, bytes.length, 0);
}
