import type { DeviceState } from '../stream/devices/device-state.ts';
import { flattenDevice } from '../stream/devices/flatten-device.ts';

/** The registers of a VGA that decide which of its memory the guest sees. */
export interface VgaRegisters {
  readonly isCirrus: boolean;
  /** False where these are not the card's registers: QEMU writes other bytes of its own for cards of ISA. */
  readonly isSound: boolean;
  /** Registers of the sequencer, by number. */
  readonly sequencer: Uint8Array;
  /** Registers of the graphics controller, by number. */
  readonly graphics: Uint8Array;
  /** Offset of the VBE extensions' bank, in bytes. */
  readonly bankOffset: number;
  /** True while the VBE extensions are on. */
  readonly isVbe: boolean;
}

const SECTION = /^(?:(.+)\/)?(?:vga|virtio-vga|cirrus_vga|qxl)$/;
const CIRRUS = /(?:^|\/)cirrus_vga$/;
/** The state of a Cirrus has its graphics controller's registers from this one on. */
const CIRRUS_FIRST_GRAPHICS = 2;
/** Every standard VGA has this where its state says that it has the registers of VBE. */
const HAS_VBE = 1;
const VBE_ENABLE = 4;
const VBE_ENABLED = 1;

/** Tells whether a section of this name can have the registers of a VGA. */
export function isVgaSection(name: string): boolean {
  return SECTION.test(name);
}

/** The registers in a section, and the card's PCI address: empty for a section that names none. */
export function vgaRegisters(device: DeviceState): readonly (readonly [string, VgaRegisters])[] {
  const found = SECTION.exec(device.name);
  if (found === null) return [];
  const values = new Map(flattenDevice(device));
  const path = [...values.keys()].find((name) => /(?:^|\.)sr$/.test(name));
  if (path === undefined) return [];
  const prefix = path.slice(0, -2);
  const [sequencer, stored] = [values.get(path), values.get(`${prefix}gr`)];
  const bankOffset = values.get(`${prefix}bank_offset`);
  const enable = values.get(`${prefix}vbe_regs[${VBE_ENABLE}]`) ?? 0;
  if (!(sequencer instanceof Uint8Array && stored instanceof Uint8Array)) return [];
  if (typeof bankOffset !== 'number' || typeof enable !== 'number') return [];
  const isCirrus = CIRRUS.test(device.name);
  const graphics = isCirrus ? Buffer.concat([new Uint8Array(CIRRUS_FIRST_GRAPHICS), stored]) : stored;
  const isVbe = (enable & VBE_ENABLED) !== 0;
  const address = found[1] ?? '';
  const isSound = isCirrus ? address !== '' : values.get(`${prefix}is_vbe_vmstate`) === HAS_VBE;
  return [[address, { isCirrus, isSound, sequencer, graphics, bankOffset, isVbe }]];
}
