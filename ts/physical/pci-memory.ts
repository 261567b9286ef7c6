import { romDeviceOf, videoDeviceOf, VMWARE_FIFO } from '../stream/block-names.ts';
import type { AddressSpace, PhysicalRange } from './address-space.ts';
import { isLinear } from './cirrus.ts';
import type { MachineFacts } from './machine-facts.ts';
import { barAddress, isCirrus, isIoBar, isIvshmem, isVmware, romAddress } from './pci-config.ts';

type Block = MachineFacts['blocks'][number];

/** A block that is the memory behind a BAR. */
interface Bar {
  /** Two blocks with the same key would be behind the same BAR. */
  readonly key: string;
  readonly kind: PhysicalRange['kind'];
  /** Undefined when the guest sees the memory nowhere. */
  readonly address: number | undefined;
}

/** The BAR of a Cirrus is larger than its memory. */
const CIRRUS_BAR_BYTES = 32 * 1024 * 1024;

/**
 * Places the memory of PCI devices where the guest has put it: under the RAM, if the guest has put it there.
 * @returns the blocks whose place is known, or that are known to be nowhere
 */
export function placePciMemory(space: AddressSpace, facts: MachineFacts): ReadonlySet<string> {
  /** BARs that have their block already: each has one, whatever the file lists. */
  const bars = new Set<string>();
  const known = new Set<string>();
  for (const block of facts.blocks) {
    const bar = videoBar(block, facts) ?? romBar(block, facts) ?? sharedBar(block, facts);
    if (bar === undefined || bars.has(bar.key)) continue;
    bars.add(bar.key);
    known.add(block.id);
    const { address, kind } = bar;
    if (address === undefined) continue;
    space.place({ address, length: block.length, block: block.id, offset: 0, kind });
  }
  return known;
}

function videoBar({ id, length }: Block, { pci, vga }: MachineFacts): Bar | undefined {
  const device = id === VMWARE_FIFO ? vmwareOf(pci) : videoDeviceOf(id);
  const config = pci.get(device ?? '');
  if (device === undefined || config === undefined) return undefined;
  const number = videoBarNumber(id, config);
  // A card that is not known may use its first BAR for I/O.
  if (isIoBar(config, number)) return undefined;
  const registers = vga.get(device);
  const isHidden = registers?.isCirrus === true && !isLinear(registers);
  const size = Math.max(powerOfTwo(length), isCirrus(config) ? CIRRUS_BAR_BYTES : 0);
  const address = isHidden ? undefined : barAddress(config, number, size);
  return { key: `${device} ${number}`, kind: 'vram', address };
}

/** Cards have their memory behind the first BAR; VMware's has its ports there, then memory, then commands. */
function videoBarNumber(id: string, config: Uint8Array): number {
  if (id === VMWARE_FIFO) return 2;
  return isVmware(config) ? 1 : 0;
}

/** The address of VMware's card. Its block of commands does not name it, so that there can only be one. */
function vmwareOf(pci: MachineFacts['pci']): string | undefined {
  return [...pci].find(([, config]) => isVmware(config))?.[0];
}

function romBar({ id, length }: Block, { pci }: MachineFacts): Bar | undefined {
  const device = romDeviceOf(id);
  const config = pci.get(device ?? '');
  if (device === undefined || config === undefined) return undefined;
  return { key: `${device} ROM`, kind: 'rom', address: romAddress(config, powerOfTwo(length)) };
}

/** The memory of ivshmem: the block is called after its object, behind the device. */
function sharedBar({ id, length }: Block, { pci }: MachineFacts): Bar | undefined {
  const device = id.slice(0, Math.max(0, id.lastIndexOf('/')));
  const config = pci.get(device);
  if (config === undefined || !isIvshmem(config)) return undefined;
  return { key: `${device} 2`, kind: 'ram', address: barAddress(config, 2, powerOfTwo(length)) };
}

function powerOfTwo(length: number): number {
  return 2 ** Math.ceil(Math.log2(length));
}
