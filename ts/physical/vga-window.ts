import { vgaDeviceOf } from '../stream/block-names.ts';
import type { AddressSpace } from './address-space.ts';
import type { MachineFacts } from './machine-facts.ts';

const KIB = 1024;
const WINDOW = { address: 0xa0000, length: 128 * KIB };
/** The place of the class in a PCI device's configuration space. */
const CLASS = 0x0a;
const CLASS_VGA = 0x0300;

const PLANE_MASK = { register: 2, all: 0xf };
const MEMORY_MODE = { register: 4, chain4: 8 };
const MISCELLANEOUS = 6;

/** The places where a VGA shows its memory, by the two bits of the miscellaneous register. */
const MAPS = [
  { address: 0xa0000, length: 128 * KIB, banked: false },
  { address: 0xa0000, length: 64 * KIB, banked: true },
  { address: 0xb0000, length: 32 * KIB, banked: false },
  { address: 0xb8000, length: 32 * KIB, banked: false },
];

/**
 * Places a VGA's window. The window from 0xa0000 to 0xbffff is a device's, not RAM. Graphics modes that address the
 * VGA's memory byte by byte ("chain 4") show that memory there.
 */
export function placeVgaWindow(space: AddressSpace, { blocks, pci, vga }: MachineFacts): void {
  const memory = blocks.find(({ id }) => vgaDeviceOf(id) !== undefined);
  const device = vgaDeviceOf(memory?.id ?? '') ?? '';
  if (memory === undefined || !isVga(pci.get(device))) return;
  space.clear(WINDOW.address, WINDOW.length);
  const registers = vga.get(device);
  if (registers === undefined) return;
  const { sequencer, graphics, bankOffset } = registers;
  const allPlanes = ((sequencer[PLANE_MASK.register] ?? 0) & PLANE_MASK.all) === PLANE_MASK.all;
  const chain4 = ((sequencer[MEMORY_MODE.register] ?? 0) & MEMORY_MODE.chain4) !== 0;
  const map = MAPS[((graphics[MISCELLANEOUS] ?? 0) >>> 2) & 3];
  if (!allPlanes || !chain4 || map === undefined) return;
  const { address, length, banked } = map;
  const offset = banked ? bankOffset : 0;
  if (offset < 0 || offset + length > memory.length) return;
  space.place({ address, length, block: memory.id, offset, kind: 'vram' });
}

/** A second card has memory of the same name, but it is no VGA. */
function isVga(config: Uint8Array | undefined): boolean {
  if (config === undefined) return true;
  return new DataView(config.buffer, config.byteOffset).getUint16(CLASS, true) === CLASS_VGA;
}
