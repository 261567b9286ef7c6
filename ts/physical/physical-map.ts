import { MappedRamError } from '../errors.ts';
import { byteCount } from '../io/byte-count.ts';
import { ISA_VGA_MEMORY, isWithoutAddress, VIRT_FLASH } from '../stream/block-names.ts';
import { AddressSpace, part, type PhysicalRange } from './address-space.ts';
import { machineFacts, type MachineFacts, type PhysicalSource } from './machine-facts.ts';
import type { MachineFamily } from './machine-family.ts';
import { placePcWindows } from './pc-windows.ts';
import { placePciMemory } from './pci-memory.ts';
import { ramLayout, type PhysicalOptions } from './ram-layout.ts';
import { readLength } from '../pages/block-memory.ts';

/** The places of a snapshot's blocks in the guest's physical address space. */
export interface PhysicalMap {
  readonly machine: string;
  readonly family: MachineFamily;
  /** The ranges by address; they do not overlap. Devices, or nothing, lie between them. */
  readonly ranges: readonly PhysicalRange[];
  /** The facts that the file does not give, and that were taken to be as usual, in words. */
  readonly assumptions: readonly string[];
}

/** The address of all memory of a standard VGA for ISA. A Cirrus for ISA shows its memory only in the VGA's window. */
const ISA_VGA_ADDRESS = 0xe000_0000;

/** Makes the map of `Snapshot.physicalMap`. */
export async function physicalMap(
  snapshot: PhysicalSource,
  options: PhysicalOptions = {},
): Promise<PhysicalMap> {
  const facts = await machineFacts(snapshot);
  const space = new AddressSpace();
  const ram = ramLayout(facts, options);
  const known = placePciMemory(space, facts);
  for (const range of ram.ranges) space.place(range);
  for (const range of memoryDevices(facts)) space.place(range);
  const more = facts.family === 'virt' ? placeVirtFlash(space, facts) : placePcWindows(space, facts);
  const ranges = space.ranges();
  // RAM may have its place and lie wholly behind something else.
  const placed = new Set([...known, ...[...ram.ranges, ...ranges].map(({ block }) => block)]);
  if (facts.vga.has('')) placed.add(ISA_VGA_MEMORY);
  const leftOut = facts.blocks.filter(({ id }) => !placed.has(id) && !isWithoutAddress(id));
  return {
    machine: snapshot.index.machine,
    family: facts.family,
    ranges,
    assumptions: [
      ...ram.assumptions,
      ...more,
      ...leftOut.map(({ id }) => `block ${id} is left out: the file does not say where it is`),
    ],
  };
}

/** Memory that is neither main memory nor a PCI device's BAR, and whose place is known. */
function memoryDevices({ blocks, virtioMem, vga }: MachineFacts): readonly PhysicalRange[] {
  return blocks.flatMap(({ id, length }): readonly PhysicalRange[] => {
    const device = virtioMem.get(id.slice(0, Math.max(0, id.lastIndexOf('/'))));
    // A device's one block of that length is its memory.
    if (device?.length === length) {
      return [{ address: device.address, length, block: id, offset: 0, kind: 'ram' }];
    }
    if (id !== ISA_VGA_MEMORY || vga.get('')?.isCirrus !== false) return [];
    return [{ address: ISA_VGA_ADDRESS, length, block: id, offset: 0, kind: 'vram' }];
  });
}

/** Bytes of each pflash device of virt; they follow each other from address 0 on. */
const VIRT_FLASH_BYTES = 0x400_0000;

function placeVirtFlash(space: AddressSpace, { blocks }: MachineFacts): readonly string[] {
  for (const [index, block] of VIRT_FLASH.entries()) {
    const length = blocks.find(({ id }) => id === block)?.length ?? 0;
    space.place({ address: index * VIRT_FLASH_BYTES, length, block, offset: 0, kind: 'flash' });
  }
  return [];
}

/** Reads like `Snapshot.readPhysical`. */
export async function readPhysical(
  snapshot: PhysicalSource,
  { ranges }: PhysicalMap,
  address: number | bigint,
  length: number | bigint,
): Promise<Uint8Array> {
  const [start, count] = [byteCount('guest-physical address', address), readLength(length)];
  const end = start + count;
  const parts = ranges.flatMap((range) =>
    part(range, Math.max(start, range.address), Math.min(end, range.address + range.length)),
  );
  let position = start;
  for (const found of parts) {
    if (found.address !== position) break;
    position += found.length;
  }
  if (position < end) throw nothingThere(snapshot.path, position, ranges);
  const memory = await snapshot.memory();
  const bytes = new Uint8Array(count);
  for (const found of parts) {
    const at = found.address - start;
    await memory.readInto(bytes.subarray(at, at + found.length), found.block, found.offset);
  }
  return bytes;
}

function nothingThere(path: string, address: number, ranges: readonly PhysicalRange[]): MappedRamError {
  const next = ranges.find((range) => range.address > address);
  const message = `the snapshot has no memory at guest-physical address ${hex(address)}`;
  return new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', message, {
    path,
    expected: 'addresses that are all in ranges of the physical map',
    found: next === undefined ? 'nothing from there on' : `nothing before ${hex(next.address)}`,
  });
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
