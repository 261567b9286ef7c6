import { vgaDeviceOf } from '../stream/block-names.ts';
import type { AddressSpace } from './address-space.ts';
import { cirrusWindow, type WindowPart } from './cirrus.ts';
import type { MachineFacts } from './machine-facts.ts';
import { isVgaClass, isVmware } from './pci-config.ts';
import type { VgaRegisters } from './vga-registers.ts';

const KIB = 1024;
const WINDOW = { address: 0xa0000, length: 128 * KIB };

const PLANE_MASK = { register: 2, all: 0xf };
const MEMORY_MODE = { register: 4, chain4: 8 };
const GRAPHICS_MODE = { register: 5, shift: 0x60, bytes: 0x40 };
const MISCELLANEOUS = 6;

/** The places where a VGA shows its memory, by the two bits of the miscellaneous register. */
const MAPS = [
  { address: 0xa0000, length: 128 * KIB, banked: false },
  { address: 0xa0000, length: 64 * KIB, banked: true },
  { address: 0xb0000, length: 32 * KIB, banked: false },
  { address: 0xb8000, length: 32 * KIB, banked: false },
];

type Block = MachineFacts['blocks'][number];

interface CardWindow {
  readonly memory: Block;
  /** The parts that show memory; undefined where the file does not tell them. */
  readonly parts: readonly WindowPart[] | undefined;
}

/**
 * Places a VGA's window. The window from 0xa0000 to 0xbffff is a device's, not RAM. A mode that addresses the VGA's
 * memory byte by byte shows that memory there; in all others the answers of the VGA are computed.
 */
export function placeVgaWindow(space: AddressSpace, facts: MachineFacts): readonly string[] {
  const cards = facts.blocks.flatMap((block) => cardWindow(block, facts));
  if (cards.length === 0) return [];
  space.clear(WINDOW.address, WINDOW.length);
  const unknown = cards.filter(({ parts }) => parts === undefined);
  const showing = cards.filter(({ parts }) => parts !== undefined && parts.length > 0);
  // Of several cards, one covers the other, and the file does not say which.
  const [shown, ...others] = unknown.length > 0 ? [] : showing;
  if (unknown.length > 0 || others.length > 0) {
    const names = [...unknown, ...showing].map(({ memory }) => memory.id).join(', ');
    return [
      `the memory from 0xa0000 to 0xbffff is left out: the file does not say what the guest sees there of ${names}`,
    ];
  }
  for (const { address, length, offset } of shown?.parts ?? []) {
    space.place({ address, length, block: shown?.memory.id ?? '', offset, kind: 'vram' });
  }
  return [];
}

function cardWindow(memory: Block, { pci, vga }: MachineFacts): readonly CardWindow[] {
  const device = vgaDeviceOf(memory.id);
  if (device === undefined) return [];
  const config = pci.get(device);
  // A second card has memory of the same name, but it is no VGA.
  if (config !== undefined && !isVgaClass(config)) return [];
  // A card without a configuration space is behind a bridge, which may hide it, or its state is not in the file.
  if (device !== '' && config === undefined) return [{ memory, parts: undefined }];
  const isPlain = config === undefined || isVmware(config);
  const registers = vga.get(isPlain ? '' : device);
  if (registers?.isSound !== true) return [{ memory, parts: undefined }];
  const parts = registers.isCirrus
    ? cirrusWindow(registers, memory.length)
    : standardWindow(registers, memory.length);
  return [{ memory, parts }];
}

/**
 * The parts that a standard VGA shows. While the VBE extensions are on, QEMU has a sequencer of its own for them, which
 * shows memory byte by byte from the first mode of more than 4 bits per pixel on, and is not in the file. The graphics
 * mode tells such a mode; of 4 bits per pixel nothing is known.
 */
function standardWindow(
  { sequencer, graphics, bankOffset, isVbe }: VgaRegisters,
  memoryLength: number,
): readonly WindowPart[] | undefined {
  const allPlanes = ((sequencer[PLANE_MASK.register] ?? 0) & PLANE_MASK.all) === PLANE_MASK.all;
  const chain4 = ((sequencer[MEMORY_MODE.register] ?? 0) & MEMORY_MODE.chain4) !== 0;
  const isBytes = ((graphics[GRAPHICS_MODE.register] ?? 0) & GRAPHICS_MODE.shift) === GRAPHICS_MODE.bytes;
  if (isVbe && !isBytes) return undefined;
  if (!isVbe && !(allPlanes && chain4)) return [];
  const { address, length, banked } = MAPS[((graphics[MISCELLANEOUS] ?? 0) >>> 2) & 3] ?? WINDOW_OF_NONE;
  const offset = banked ? bankOffset : 0;
  return offset < 0 || offset + length > memoryLength ? [] : [{ address, length, offset }];
}

const WINDOW_OF_NONE = { address: WINDOW.address, length: 0, banked: false };
