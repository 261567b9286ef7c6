import { romDeviceOf, videoDeviceOf } from '../stream/block-names.ts';
import type { AddressSpace } from './address-space.ts';
import type { MachineFacts } from './machine-facts.ts';

/** Registers of a PCI device's configuration space. */
const COMMAND = 0x04;
const COMMAND_MEMORY = 2;
const BAR0 = 0x10;
const IO_SPACE = 1;
const ROM_BAR = 0x30;
const ROM_ENABLED = 1;

/**
 * Places the memory of PCI devices where the guest has put it: under the RAM, if the guest has put it there.
 * @returns the blocks whose place is known, or that are known to be nowhere
 */
export function placePciMemory(space: AddressSpace, { blocks, pci }: MachineFacts): ReadonlySet<string> {
  /** BARs that have their block already: each has one, whatever the file lists. */
  const bars = new Set<string>();
  const known = new Set<string>();
  for (const { id, length } of blocks) {
    const [video, rom] = [videoDeviceOf(id), romDeviceOf(id)];
    const config = pci.get(video ?? rom ?? '');
    const bar = video === undefined ? `ROM of ${rom}` : `memory of ${video}`;
    if (config === undefined || bars.has(bar)) continue;
    bars.add(bar);
    if (video !== undefined && hasNoMemoryBar(config)) continue;
    known.add(id);
    const address = video === undefined ? romAddress(config) : memoryAddress(config);
    // A BAR is aligned to its size. A guest that has put it nowhere leaves it at 0 or at the end of all addresses.
    const size = 2 ** Math.ceil(Math.log2(length));
    if (address === undefined || address === 0 || address % size !== 0) continue;
    if (!Number.isSafeInteger(address + size)) continue;
    space.place({ address, length, block: id, offset: 0, kind: video === undefined ? 'rom' : 'vram' });
  }
  return known;
}

/** Some cards use their first BAR for I/O. */
function hasNoMemoryBar(config: Uint8Array): boolean {
  return ((config[BAR0] ?? 0) & 1) === IO_SPACE;
}

function memoryAddress(config: Uint8Array): number | undefined {
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  if ((view.getUint16(COMMAND, true) & COMMAND_MEMORY) === 0) return undefined;
  const bar = view.getUint32(BAR0, true);
  const is64Bit = (bar & 0b110) === 0b100;
  const high = is64Bit ? view.getUint32(BAR0 + 4, true) : 0;
  return bar - (bar % 16) + high * 2 ** 32;
}

function romAddress(config: Uint8Array): number | undefined {
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  if ((view.getUint16(COMMAND, true) & COMMAND_MEMORY) === 0) return undefined;
  const bar = view.getUint32(ROM_BAR, true);
  return (bar & ROM_ENABLED) === 0 ? undefined : bar - (bar % 0x800);
}
