import type { PciSlot } from './destination.ts';

/** Matches the block of a PCI device's option ROM: the device's address, and the device. */
const OPTION_ROM = /^(?<address>[0-9a-f:.]+)\/(?<device>.+)\.rom$/;
const VIDEO_MEMORY = /^(?<address>[0-9a-f:.]+)\/(?<device>vga)\.vram$/;
const MIB = 2 ** 20;

/**
 * Says what to give QEMU so that a block gets the length that it has in the snapshot, as the end of a sentence. Empty
 * for a block whose length no option gives.
 * @param length in the snapshot, in bytes
 * @param pci QEMU's devices, where they are known
 */
export function lengthCure(id: string, length: number, pci: readonly PciSlot[] | undefined): string {
  const rom = OPTION_ROM.exec(id)?.groups;
  if (rom !== undefined) {
    const device = nameOf(rom['device'] ?? '', rom['address'] ?? '', pci);
    return `: give ${device} romsize=${length}, and the option ROM of that time with romfile=FILE where today's is larger`;
  }
  const video = VIDEO_MEMORY.exec(id)?.groups;
  if (video === undefined || length % MIB !== 0) return '';
  return `: give ${nameOf(video['device'] ?? '', video['address'] ?? '', pci)} vgamem_mb=${length / MIB}`;
}

/** Says how QEMU comes to have no option ROM, or one too many, as the end of a sentence. */
export function romCure(id: string, wanted: 'none' | 'one', pci: readonly PciSlot[] | undefined): string {
  const { device = '', address = '' } = OPTION_ROM.exec(id)?.groups ?? {};
  if (device === '') return '';
  const name = nameOf(device, address, pci);
  return wanted === 'none'
    ? `: give ${name} romfile= (empty)`
    : `: leave romfile= and rombar=0 away from ${name}`;
}

function nameOf(device: string, address: string, pci: readonly PciSlot[] | undefined): string {
  const words = pci?.find((slot) => slot.address === address)?.words;
  return `the device ${device} at ${address}${words === undefined ? '' : ` (${words})`}`;
}
