import { fstatSync, readdirSync } from 'node:fs';

import test from 'ava';

import { createSlotFile } from '../../ts/fork/slot-file.ts';
import { pack } from '../../ts/pack/pack.ts';
import { unpack } from '../../ts/pack/unpack.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
const MACHINE = { configuration: { machine: 'pc-q35-10.0', capabilities: [] }, targetPageSize: 4096 };
const BLOCKS = [
  { id: 'pc.ram', length: 4096 * MIB },
  { id: 'vga.vram', length: 16 * MIB },
  { id: '/rom@etc/acpi/tables', length: 128 * 1024 },
];

test('the file that QEMUs map beforehand is a snapshot without a page, and takes next to no memory', async (t) => {
  await using file = await createSlotFile(MACHINE, BLOCKS);
  await using snapshot = await Snapshot.open({ path: file.procPath });
  t.is(snapshot.index.problem, undefined);
  t.is(snapshot.index.machine, 'pc-q35-10.0');
  t.deepEqual(snapshot.index.sections, []);
  t.deepEqual(
    snapshot.completeRam().blocks.map(({ id, length }) => ({ id, length })),
    BLOCKS,
  );
  const { blocks } = await snapshot.info();
  t.deepEqual(
    blocks.map(({ setPages }) => setPages),
    [0, 0, 0],
  );
  t.true(fstatSync(file.fd).blocks * 512 < 64 * 1024);
});

test('what is packed later lies where the file said that it would', async (t) => {
  await using dir = await temporaryDirectory();
  const small = [
    { id: 'pc.ram', length: 8 * MIB },
    { id: 'pc.bios', length: 256 * 1024 },
  ];
  await using file = await createSlotFile(MACHINE, small);
  await using empty = await Snapshot.open({ path: file.procPath });
  const path = dir.file('packed.mr');
  const state = dir.file('state');
  await unpack(empty, { state, ram: { 'pc.ram': dir.file('ram'), 'pc.bios': dir.file('bios') } });
  const ram = Object.fromEntries(small.map(({ id, length }) => [id, new Uint8Array(length).fill(7)]));
  await pack(path, { state, ram });
  await using packed = await Snapshot.open(path);
  t.deepEqual(places(packed), places(empty));
});

test('a file that cannot be made leaves no descriptor', async (t) => {
  const before = readdirSync('/proc/self/fd').length;
  await t.throwsAsync(createSlotFile(MACHINE, [{ id: 'pc.ram', length: 5 }]), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  t.is(readdirSync('/proc/self/fd').length, before);
});

function places(snapshot: Snapshot): readonly number[] {
  return snapshot.completeRam().blocks.map(({ area }) => area.pagesOffset);
}
