import { bitmapBytes } from '../../ts/stream/page-area.ts';
import { readFile, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { Snapshot, unpack } from '../../ts/index.ts';
import { saveTo, type MigrationOptions } from '../support/plain-migration.ts';
import { startGuest, type GuestSetup, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';

interface Save {
  readonly title: string;
  readonly setup: GuestSetup;
  readonly options: MigrationOptions;
  readonly offset?: number;
  readonly stopped: boolean;
}

const multifd = { multifd: true, channels: 4 };
const SAVES: readonly Save[] = [
  { title: 'i440fx, one channel, stopped', setup: { machine: 'pc' }, options: {}, stopped: true },
  { title: 'q35, one channel, running', setup: {}, options: {}, stopped: false },
  { title: 'q35, multifd, stopped', setup: {}, options: multifd, stopped: true },
  { title: 'i440fx, multifd, running', setup: { machine: 'pc' }, options: multifd, stopped: false },
  {
    title: 'q35, multifd and direct-io, stopped',
    setup: {},
    options: { ...multifd, directIo: true },
    stopped: true,
  },
  {
    title: 'q35, multifd and direct-io, running',
    setup: {},
    options: { ...multifd, directIo: true },
    stopped: false,
  },
  { title: 'q35, at offset 4096', setup: {}, options: {}, offset: 4096, stopped: true },
  {
    title: 'i440fx, multifd at offset 4096',
    setup: { machine: 'pc' },
    options: multifd,
    offset: 4096,
    stopped: false,
  },
  { title: 'q35 with two NUMA blocks, stopped', setup: { numa: true }, options: {}, stopped: true },
  {
    title: 'q35 with two NUMA blocks, multifd, running',
    setup: { numa: true },
    options: multifd,
    stopped: false,
  },
  {
    title: 'q35 with a VGA device',
    setup: { extraArgs: ['-device', 'VGA'] },
    options: { ...multifd, directIo: true },
    stopped: true,
  },
];

const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);

for (const save of SAVES) {
  qemuTest(`what QEMU saves is read byte for byte: ${save.title}`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(save.setup);
    await guest.waitForGenerations(3);
    if (save.stopped) await guest.stop();
    const file = dir.file('guest.snapshot');
    const uri = save.offset === undefined ? `file:${file}` : `file:${file},offset=${save.offset}`;
    if (save.offset !== undefined) await writeFile(file, Buffer.alloc(save.offset, 'X'));
    await saveTo(guest.qmp, uri, save.options);
    for (let again = 0; again < 2 && !save.stopped && !(await holdsMemory(guest, uri)); again += 1) {
      t.log('QEMU has missed a write of the running guest (docs/format.md §4.1): saved again');
      await guest.cont();
      await saveTo(guest.qmp, uri, save.options);
    }
    await compareBlocks(t, guest, dir, uri);
    if (save.offset !== undefined) {
      t.true((await readFile(file)).subarray(0, save.offset).every((byte) => byte === 0x58));
    }
  });
}

qemuTest('the RAM of a file without vmdescription is read, but only when that is asked for', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ machine: 'q35,suppress-vmdesc=on' });
  await guest.waitForGenerations(2);
  await guest.stop();
  const file = dir.file('guest.snapshot');
  await saveTo(guest.qmp, `file:${file}`, { multifd: true });
  await using snapshot = await Snapshot.open(file);
  const info = await snapshot.info();
  t.false(info.complete);
  t.true(info.ramComplete);
  const ram = { 'pc.ram': dir.file('pc.ram') };
  await t.throwsAsync(unpack(file, { ram }), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
  await unpack(file, { ram, ignoreDeviceState: true });
  const { length = 0 } = info.blocks.find(({ id }) => id === 'pc.ram') ?? {};
  t.is(Buffer.compare(await readFile(dir.file('pc.ram')), await guest.readBlock('pc.ram', 0, length)), 0);
  await t.throwsAsync(unpack(file, { state: dir.file('state'), ignoreDeviceState: true }), {
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
  });
});

/** True when QEMU's own file, read page by page, has the same memory as QEMU. */
async function holdsMemory(guest: TestGuest, uri: string): Promise<boolean> {
  await using snapshot = await Snapshot.open(uri);
  for (const { id, area } of snapshot.completeRam().blocks) {
    const { length, pagesOffset, bitmapOffset } = area;
    const memory = await guest.readBlock(id, 0, length);
    const bitmap = await snapshot.reader.read(bitmapOffset, bitmapBytes(area));
    for (let page = 0; page * PAGE < length; page += 1) {
      const isSet = (((bitmap[page >>> 3] ?? 0) >>> (page & 7)) & 1) === 1;
      const inFile = isSet ? await snapshot.reader.read(pagesOffset + page * PAGE, PAGE) : ZEROS;
      if (Buffer.compare(inFile, memory.subarray(page * PAGE, (page + 1) * PAGE)) !== 0) return false;
    }
  }
  return true;
}

/** Compares a file with QEMU's memory, which must be the same: the guest stays stopped after the save. */
async function compareBlocks(
  t: ExecutionContext,
  guest: TestGuest,
  dir: TemporaryDirectory,
  uri: string,
): Promise<void> {
  await using snapshot = await Snapshot.open(uri);
  const info = await snapshot.info();
  t.true(info.complete);
  t.deepEqual(info.warnings, []);
  t.true(info.blocks.length >= 4);
  const ids = info.blocks.map(({ id }) => id);
  for (const [index, way] of WAYS.entries()) {
    const ram = Object.fromEntries(ids.map((id, number) => [id, dir.file(`${index}-${number}.ram`)]));
    const result = await unpack(uri, { ram, ...way, channels: 3 });
    t.is(result.transfer?.ioEngine, way.ioEngine);
    t.is(result.transfer?.directIo, way.directIo === 'on');
    for (const [number, { id, length }] of info.blocks.entries()) {
      const unpacked = await readFile(dir.file(`${index}-${number}.ram`));
      const expected = await guest.readBlock(id, 0, length);
      t.is(
        Buffer.compare(unpacked, expected),
        0,
        `block ${id} with ${way.ioEngine}, direct I/O ${way.directIo}`,
      );
    }
  }
}
