import assert from 'node:assert/strict';

import { AddressSpace } from '../../ts/physical/address-space.ts';
import type { MachineFacts } from '../../ts/physical/machine-facts.ts';
import { placePcWindows } from '../../ts/physical/pc-windows.ts';
import { placePciMemory } from '../../ts/physical/pci-memory.ts';
import { ramLayout } from '../../ts/physical/ram-layout.ts';
import { nodeRanges } from '../../ts/physical/srat.ts';
import { INPUT_CODES, roughly, type FuzzTarget } from '../target.ts';
import type { WatchedReader } from '../watched-reader.ts';

const FAMILIES = ['i440fx', 'q35', 'microvm', 'virt'] as const;
const BLOCKS = [
  'pc.ram',
  'pc.bios',
  'pc.rom',
  'system.flash0',
  '0000:00:02.0/vga.vram',
  '0000:00:03.0/e1000.rom',
  'node0',
  'node1',
] as const;
const DEVICES = ['0000:00:00.0', '0000:00:02.0', '0000:00:03.0'] as const;
const PAGE = 4096;

/**
 * The places of blocks, as a snapshot describes them. The input is, in this order: a byte for the blocks that exist,
 * the machine, a be32 of pages for each block, 128 bytes of CMOS memory, 256 bytes for each of three PCI devices, 28
 * bytes of a VGA's registers, and ACPI tables.
 */
export const target: FuzzTarget = {
  codes: [...INPUT_CODES, 'ERR_MAPPED_RAM_OUT_OF_RANGE'],
  run: async (reader) => {
    const facts = await factsOf(reader);
    const space = new AddressSpace();
    const { ranges, assumptions } = ramLayout(facts, {});
    placePciMemory(space, facts);
    for (const range of ranges) space.place(range);
    placePcWindows(space, facts);
    let end = 0;
    for (const { address, length, block, offset } of space.ranges()) {
      assert.ok(address >= end && length > 0);
      end = address + length;
      assert.ok(Number.isSafeInteger(end));
      const whole = facts.blocks.find(({ id }) => id === block)?.length ?? 0;
      assert.ok(offset >= 0 && offset + length <= whole);
    }
    return [
      facts.family,
      roughly(space.ranges().length),
      roughly(facts.nodes.length),
      assumptions.length,
    ].join(' ');
  },
};

async function factsOf(reader: WatchedReader): Promise<MachineFacts> {
  let position = 0;
  const take = async (length: number): Promise<Uint8Array> => {
    const bytes = await reader.read(position, length);
    position += length;
    return bytes;
  };
  const [present = 0, machine = 0] = await take(2);
  const pages = new DataView((await take(4 * BLOCKS.length)).slice().buffer);
  const blocks = BLOCKS.map((id, index) => ({ id, length: pages.getUint32(4 * index) * PAGE }));
  const cmos = await take(128);
  const pci = new Map<string, Uint8Array>();
  for (const device of DEVICES) pci.set(device, await take(256));
  const [sequencer, graphics] = [await take(8), await take(16)];
  const bankOffset = new DataView((await take(4)).slice().buffer).getInt32(0);
  const tables = await take(Math.min(reader.size - position, 2 ** 16));
  return {
    path: reader.name,
    machine: 'pc-q35-10.0',
    family: FAMILIES[machine % FAMILIES.length] ?? 'q35',
    blocks: blocks.filter(({ length }, index) => length > 0 && (present & (1 << index)) !== 0),
    cmos: (machine & 0x80) === 0 ? cmos : undefined,
    pci: (machine & 0x40) === 0 ? pci : new Map(),
    vga: new Map([
      [
        DEVICES[1],
        {
          sequencer,
          graphics,
          bankOffset,
          isCirrus: (machine & 0x20) !== 0,
          isSound: true,
          isVbe: (machine & 0x10) !== 0,
        },
      ],
    ]),
    virtioMem: new Map(),
    chips: new Set(['ioapic', 'hpet', 'apic']),
    nodes: nodeRanges(tables),
  };
}
