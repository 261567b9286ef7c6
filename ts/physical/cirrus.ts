import type { VgaRegisters } from './vga-registers.ts';

/** A part of the window from 0xa0000 to 0xbffff, and the offset in the card's memory that it shows. All numbers are bytes. */
export interface WindowPart {
  readonly address: number;
  readonly length: number;
  readonly offset: number;
}

const KIB = 1024;
/** The window has two halves, each with a bank of its own. */
const HALF = 32 * KIB;
const WINDOW = 0xa0000;
/** Bytes of memory that the banks reach, whatever the block has. */
const REACH = 4096 * KIB;

const EXTENDED_MODE = 7;
const CONTROL = 0x17;
const GRAPHICS_MODE = 5;
const BANKS = 9;
const EXTENSIONS = 0x0b;
const DUAL_BANK = 1;
const LARGE_BANKS = 0x20;

/**
 * Tells whether a Cirrus shows its memory as it is. In the other modes its answers are computed (docs/memory.md). QEMU
 * follows the registers when it loads a guest; a running QEMU may follow one only at the next change of another.
 */
export function isLinear({ sequencer, graphics }: VgaRegisters): boolean {
  const extensions = graphics[EXTENSIONS] ?? 0;
  const mode = (graphics[GRAPHICS_MODE] ?? 0) & 7;
  if (((sequencer[CONTROL] ?? 0) & 0x44) === 0x44) return false;
  if ((extensions & 0x14) === 0x14 || (extensions & 2) !== 0) return false;
  return (extensions & 4) === 0 || mode < 4 || mode > 5;
}

/** The parts of the window at 0xa0000 where a Cirrus shows its memory. */
export function cirrusWindow(registers: VgaRegisters, memoryLength: number): readonly WindowPart[] {
  const { sequencer, graphics } = registers;
  if (((sequencer[EXTENDED_MODE] ?? 0) & 1) === 0 || !isLinear(registers)) return [];
  return [0, 1].map((half) => {
    const offset = bankOffset(graphics, half);
    return { address: WINDOW + half * HALF, offset, length: Math.min(HALF, memoryLength - offset) };
  });
}

/** A bank that would begin behind the memory begins at 0. */
function bankOffset(graphics: Uint8Array, half: number): number {
  const extensions = graphics[EXTENSIONS] ?? 0;
  const isDual = (extensions & DUAL_BANK) !== 0;
  const unit = (extensions & LARGE_BANKS) === 0 ? 4 * KIB : 16 * KIB;
  const offset = (graphics[BANKS + (isDual ? half : 0)] ?? 0) * unit + (isDual ? 0 : half * HALF);
  return offset < REACH ? offset : 0;
}
