import { ISA_BIOS, PC_BIOS, PC_FLASH, PC_ROM } from '../stream/block-names.ts';
import type { AddressSpace, PhysicalRange } from './address-space.ts';
import type { MachineFacts } from './machine-facts.ts';
import { clearChips, clearSmram, isSmramOpen } from './chipset.ts';
import { placeVgaWindow } from './vga-window.ts';

const KIB = 1024;
const FOUR_GIB = 2 ** 32;
/** The end of the first MiB, where firmware appears, too, but no more of it than `ISA_BIOS_MAX`. */
const ISA_BIOS_END = 0x100000;
const ISA_BIOS_MAX = 128 * KIB;
const OPTION_ROMS = 0xc0000;

/** The PCI address of the host bridge, and the place of its seven PAM registers in its configuration space. */
const HOST_BRIDGE = '0000:00:00.0';
const PAM_REGISTERS = { i440fx: 0x59, q35: 0x90 } as const;
/** Each PAM register from the second on has two pieces of 16 KiB; the first has one of 64 KiB, in its upper half. */
const PAM_START = 0xc0000;
const PAM_PIECE = 16 * KIB;
const PAM_FIRST = { address: 0xf0000, length: 64 * KIB };
/** The bits of a piece that send reads and writes to RAM. With either, QEMU lets reads go there, else to the ROMs. */
const PAM_RAM = 3;

/** Lays firmware over the RAM, and whatever else a PC has below 1 MiB and below 4 GiB. */
export function placePcWindows(space: AddressSpace, facts: MachineFacts): readonly string[] {
  const { family, blocks, pci } = facts;
  if (family === 'virt') return [];
  clearChips(space, facts);
  const isaBios = lowFirmware(blocks);
  for (const range of topOfFirmware(blocks)) space.place(range);
  if (family === 'microvm') {
    for (const range of isaBios) space.place(range);
    return [];
  }
  const bridge = pci.get(HOST_BRIDGE);
  const roms = [...optionRoms(blocks), ...isaBios];
  if (family === 'isapc') {
    for (const range of roms) space.place(range);
    return placeVgaWindow(space, facts);
  }
  const window = isSmramOpen(family, bridge) ? [] : placeVgaWindow(space, facts);
  if (bridge === undefined) {
    return [
      ...window,
      'the RAM from 0xc0000 to 0xfffff is what the guest sees there: the file has no host bridge that says it',
    ];
  }
  if (family === 'q35') clearSmram(space, bridge);
  // Where reads do not go to RAM and there is no ROM, RAM answers all the same.
  for (const { address, length } of closedPieces(
    bridge.subarray(PAM_REGISTERS[family], PAM_REGISTERS[family] + 7),
  )) {
    for (const range of roms) space.place(within(range, address, length));
  }
  return window;
}

function optionRoms(blocks: Blocks): readonly PhysicalRange[] {
  const rom = blocks.find(({ id }) => id === PC_ROM);
  if (rom === undefined) return [];
  return [{ address: OPTION_ROMS, length: rom.length, block: rom.id, offset: 0, kind: 'rom' }];
}

/** The pieces of the first MiB where reads do not go to RAM. */
function* closedPieces(pam: Uint8Array): Generator<{ readonly address: number; readonly length: number }> {
  for (const [index, register] of pam.entries()) {
    const [lower, upper] = [register & 0xf, register >>> 4];
    if (index === 0) {
      if ((upper & PAM_RAM) === 0) yield PAM_FIRST;
      continue;
    }
    const address = PAM_START + (index - 1) * 2 * PAM_PIECE;
    if ((lower & PAM_RAM) === 0) yield { address, length: PAM_PIECE };
    if ((upper & PAM_RAM) === 0) yield { address: address + PAM_PIECE, length: PAM_PIECE };
  }
}

type Blocks = MachineFacts['blocks'];

/** Firmware ends at 4 GiB; the second flash device is below the first. */
function topOfFirmware(blocks: Blocks): readonly PhysicalRange[] {
  const ranges: PhysicalRange[] = [];
  let end = FOUR_GIB;
  for (const id of [PC_BIOS, ...PC_FLASH]) {
    const length = blocks.find((block) => block.id === id)?.length ?? 0;
    // A file may claim any length: flash that does not fit below 4 GiB is nowhere.
    if (length > end) break;
    end -= length;
    ranges.push({ address: end, length, block: id, offset: 0, kind: id === PC_BIOS ? 'rom' : 'flash' });
  }
  return ranges;
}

/** The end of the firmware, or a copy of that end with a block of its own. */
function lowFirmware(blocks: Blocks): readonly PhysicalRange[] {
  const found = [ISA_BIOS, PC_BIOS, PC_FLASH[0]].map((name) => blocks.find(({ id }) => id === name));
  const firmware = found.find((block) => block !== undefined);
  if (firmware === undefined) return [];
  const length = Math.min(firmware.length, ISA_BIOS_MAX);
  const place = { address: ISA_BIOS_END - length, offset: firmware.length - length };
  const kind = firmware.id === PC_FLASH[0] ? 'flash' : 'rom';
  return [{ ...place, length, block: firmware.id, kind }];
}

function within(range: PhysicalRange, address: number, length: number): PhysicalRange {
  const start = Math.max(range.address, address);
  const end = Math.min(range.address + range.length, address + length);
  return {
    ...range,
    address: start,
    length: Math.max(0, end - start),
    offset: range.offset + start - range.address,
  };
}
