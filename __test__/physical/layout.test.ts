import test from 'ava';
import * as fc from 'fast-check';

import { AddressSpace } from '../../ts/physical/address-space.ts';
import type { MachineFacts } from '../../ts/physical/machine-facts.ts';
import { placePciMemory } from '../../ts/physical/pci-memory.ts';
import { placePcWindows } from '../../ts/physical/pc-windows.ts';
import { ramLayout } from '../../ts/physical/ram-layout.ts';
import { nodeRanges } from '../../ts/physical/srat.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const UNSUPPORTED = { code: 'ERR_MAPPED_RAM_UNSUPPORTED' };
const INVALID = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
const OUTSIDE = { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' };

function facts(given: Partial<MachineFacts>): MachineFacts {
  const blocks = [{ id: 'pc.ram', length: 5 * GIB }];
  return {
    path: 'guest.mr',
    machine: 'pc-q35-10.0',
    family: 'q35',
    blocks,
    cmos: undefined,
    pci: new Map(),
    vga: new Map(),
    virtioMem: new Map(),
    chips: new Set(),
    nodes: [],
    ...given,
  };
}

/** The CMOS memory in which QEMU tells the firmware how many bytes of RAM are below and above 4 GiB. */
function cmos(low: number, high: number): Uint8Array {
  const bytes = Buffer.alloc(128);
  bytes.writeUInt16LE((low - 16 * MIB) / 65536, 0x34);
  bytes.writeUIntLE(high / 65536, 0x5b, 3);
  return bytes;
}

function places(given: MachineFacts, options = {}): readonly string[] {
  return ramLayout(given, options).ranges.map(
    ({ address, length, block, offset }) => `${address / MIB}+${length / MIB} ${block}@${offset / MIB}`,
  );
}

test('a CMOS memory that fits the RAM is believed, another is not, and that is said', (t) => {
  t.deepEqual(places(facts({ cmos: cmos(GIB, 4 * GIB) })), ['0+1024 pc.ram@0', '4096+4096 pc.ram@1024']);
  t.deepEqual(ramLayout(facts({ cmos: cmos(GIB, 4 * GIB) }), {}).assumptions, []);
  const wrong = facts({ cmos: cmos(GIB, 3 * GIB) });
  t.deepEqual(places(wrong), ['0+2048 pc.ram@0', '4096+3072 pc.ram@2048']);
  t.regex(ramLayout(wrong, {}).assumptions.join('\n'), /CMOS memory speaks of other RAM$/);
  t.regex(ramLayout(facts({}), {}).assumptions.join('\n'), /has no CMOS memory$/);
});

test('more RAM than the CMOS memory can count is counted modulo what it can', (t) => {
  const blocks = [{ id: 'pc.ram', length: 2050 * GIB }];
  const found = ramLayout(facts({ blocks, cmos: cmos(2 * GIB, 0) }), {});
  // The CMOS memory says 0 for the 2 TiB above 4 GiB, and so all RAM seems to be below.
  t.deepEqual(
    found.ranges.map(({ address }) => address / GIB),
    [0, 4],
  );
  t.regex(found.assumptions.join('\n'), /AMD/);
});

test('the caller has the last word, within what can be', (t) => {
  const given = facts({ cmos: cmos(GIB, 4 * GIB) });
  t.deepEqual(places(given, { lowMemory: 3 * GIB }), ['0+3072 pc.ram@0', '4096+2048 pc.ram@3072']);
  t.deepEqual(places(given, { lowMemory: 4n * BigInt(GIB), highMemory: 1024 * GIB }), [
    '0+4096 pc.ram@0',
    '1048576+1024 pc.ram@4096',
  ]);
  for (const lowMemory of [0, 4 * GIB + 4096, 4097]) t.throws(() => places(given, { lowMemory }), OUTSIDE);
  for (const highMemory of [0, 4 * GIB - 4096, 4 * GIB + 1, 2 ** 53 - 4096]) {
    t.throws(() => places(given, { highMemory }), OUTSIDE);
  }
  t.throws(() => places(given, { lowMemory: -1 }), INVALID);
  t.throws(() => places(given, { ramBlocks: ['pc.rom'] }), INVALID);
  t.throws(() => places(given, { ramBlocks: [] }), INVALID);
  t.throws(() => places(given, { ramBlocks: ['pc.ram', 'pc.ram'] }), INVALID);
  t.throws(() => places(facts({ family: 'virt' }), { lowMemory: GIB }), INVALID);
});

test('blocks that are told apart by nothing are not guessed at', (t) => {
  const two = [
    { id: 'b', length: 2 * GIB },
    { id: 'a', length: GIB },
  ];
  t.throws(() => places(facts({ blocks: two })), UNSUPPORTED);
  t.throws(() => places(facts({ blocks: two, family: 'virt' })), UNSUPPORTED);
  t.throws(() => places(facts({ blocks: [] })), UNSUPPORTED);
  t.throws(() => places(facts({ blocks: [{ id: '0000:00:01.0/vm0', length: GIB }] })), UNSUPPORTED);
  t.deepEqual(places(facts({ blocks: two }), { ramBlocks: ['a', 'b'] }), [
    '0+1024 a@0',
    '1024+1024 b@0',
    '4096+1024 b@1024',
  ]);
  const many = Array.from({ length: 200 }, (_, index) => ({ id: `m${index}`, length: MIB }));
  t.throws(() => places(facts({ blocks: many })), UNSUPPORTED);
});

test('NUMA nodes are the blocks of their sizes; a memory device is none', (t) => {
  const blocks = [
    { id: 'dimm', length: 2 * GIB },
    { id: 'b', length: GIB },
    { id: 'a', length: GIB / 2 },
  ];
  const nodes = [
    { node: 0, address: 0, length: 640 * 1024 },
    { node: 0, address: MIB, length: GIB / 2 - MIB },
    { node: 1, address: GIB / 2, length: GIB / 4 },
    { node: 1, address: 4 * GIB, length: (3 * GIB) / 4 },
  ];
  const found = ramLayout(facts({ blocks, nodes }), {});
  t.deepEqual(found.assumptions, []);
  t.deepEqual(places(facts({ blocks, nodes })), ['0+512 a@0', '512+256 b@0', '4096+768 b@256']);
  const alike = blocks.map(({ id }) => ({ id, length: GIB }));
  const same = [
    { node: 0, address: 0, length: GIB },
    { node: 1, address: GIB, length: GIB },
  ];
  t.regex(
    ramLayout(facts({ blocks: alike, nodes: same }), {}).assumptions.join(),
    /RAM is dimm, b, in this order/,
  );
});

function header(length: number): Buffer {
  const bytes = Buffer.alloc(48);
  bytes.write('SRAT');
  bytes.writeUInt32LE(length, 4);
  return bytes;
}

test('no ACPI tables make the reader of them fail', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(300), (bytes, length) => {
      t.true(Array.isArray(nodeRanges(bytes)));
      t.true(Array.isArray(nodeRanges(Buffer.concat([header(length), bytes]))));
    }),
    { numRuns: 500 },
  );
  t.deepEqual(nodeRanges(new Uint8Array()), []);
});

test('a table of a hundred thousand nodes takes no time, and is not believed', (t) => {
  const entries = 100_000;
  const table = Buffer.alloc(48 + entries * 40);
  header(table.length).copy(table);
  for (let index = 0; index < entries; index += 1) {
    const at = 48 + index * 40;
    table[at] = 1;
    table[at + 1] = 40;
    table.writeUInt32LE(index, at + 2);
    table.writeBigUInt64LE(BigInt(index) * 2n ** 32n, at + 8);
    table.writeBigUInt64LE(4096n, at + 16);
    table.writeUInt32LE(1, at + 28);
  }
  const startedAt = performance.now();
  const nodes = nodeRanges(table);
  t.is(nodes.length, entries);
  t.deepEqual(ramLayout(facts({ nodes }), {}), ramLayout(facts({}), {}));
  t.true(performance.now() - startedAt < 5000);
});

test('whatever a guest writes to its PCI devices, the map stays one', (t) => {
  const blocks = [
    { id: 'pc.ram', length: 64 * MIB },
    { id: 'pc.bios', length: 256 * 1024 },
    { id: 'pc.rom', length: 128 * 1024 },
    { id: '0000:00:01.0/vga.vram', length: 16 * MIB },
    { id: '0000:00:01.0/vga.rom', length: 64 * 1024 },
  ];
  const config = fc.uint8Array({ minLength: 256, maxLength: 256 });
  const registers = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const bank = fc.nat(256).map((number) => number * 65536);
  fc.assert(
    fc.property(
      config,
      config,
      registers,
      registers,
      bank,
      (bridge, card, sequencer, graphics, bankOffset) => {
        const pci = new Map([
          ['0000:00:00.0', bridge],
          ['0000:00:01.0', card],
        ]);
        const state = { isCirrus: false, isSound: true, isVbe: false, sequencer, graphics, bankOffset };
        const vga = new Map([['0000:00:01.0', state]]);
        const given = facts({ blocks, pci, vga, cmos: cmos(64 * MIB, 0) });
        const space = new AddressSpace();
        placePciMemory(space, given);
        for (const range of ramLayout(given, {}).ranges) space.place(range);
        t.deepEqual(placePcWindows(space, given), []);
        const ranges = space.ranges();
        let end = 0;
        for (const { address, length, block, offset } of ranges) {
          t.true(address >= end && Number.isSafeInteger(address + length));
          end = address + length;
          t.true(offset + length <= (blocks.find(({ id }) => id === block)?.length ?? 0));
        }
        // A card's memory never covers RAM, nor what the bridge hides of it.
        t.false(
          ranges.some(({ address, length, kind }) => {
            return kind === 'vram' && address < 64 * MIB && address + length > MIB;
          }),
        );
      },
    ),
    { numRuns: 300 },
  );
});
