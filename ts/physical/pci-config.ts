/** Registers of a PCI device's configuration space. */
const ID = 0x00;
const COMMAND = 0x04;
const COMMAND_MEMORY = 2;
const CLASS = 0x0a;
const BAR0 = 0x10;
const IO_SPACE = 1;
const ROM_BAR = 0x30;
const ROM_ENABLED = 1;

const CLASS_VGA = 0x0300;
/** Vendors in the lower half, devices in the upper one. */
const VMWARE_SVGA = 0x0405_15ad;
const CIRRUS = 0x00b8_1013;
const IVSHMEM = 0x1110_1af4;

const FOUR_GIB = 2 ** 32;

export function isVgaClass(config: Uint8Array): boolean {
  return viewOf(config).getUint16(CLASS, true) === CLASS_VGA;
}

export function isVmware(config: Uint8Array): boolean {
  return viewOf(config).getUint32(ID, true) === VMWARE_SVGA;
}

export function isCirrus(config: Uint8Array): boolean {
  return viewOf(config).getUint32(ID, true) === CIRRUS;
}

export function isIvshmem(config: Uint8Array): boolean {
  return viewOf(config).getUint32(ID, true) === IVSHMEM;
}

/** Tells whether a BAR is for I/O ports. */
export function isIoBar(config: Uint8Array, bar: number): boolean {
  return ((config[BAR0 + 4 * bar] ?? 0) & IO_SPACE) !== 0;
}

/**
 * The address of a memory BAR; undefined for one that is nowhere.
 * @param size of the BAR in bytes, a power of two
 */
export function barAddress(config: Uint8Array, bar: number, size: number): number | undefined {
  const low = viewOf(config).getUint32(BAR0 + 4 * bar, true);
  const is64Bit = (low & 0b110) === 0b100;
  const high = is64Bit ? viewOf(config).getUint32(BAR0 + 4 * bar + 4, true) : 0;
  return placed(config, low - (low % 16) + high * FOUR_GIB, size, is64Bit);
}

/** The address of the ROM BAR, as `barAddress`. */
export function romAddress(config: Uint8Array, size: number): number | undefined {
  const bar = viewOf(config).getUint32(ROM_BAR, true);
  return (bar & ROM_ENABLED) === 0 ? undefined : placed(config, bar - (bar % 0x800), size, false);
}

/**
 * A BAR is aligned to its size. A guest that has put it nowhere leaves it at 0 or at the end of all addresses; QEMU
 * maps no BAR of 32 bits that ends there.
 */
function placed(config: Uint8Array, address: number, size: number, is64Bit: boolean): number | undefined {
  if ((viewOf(config).getUint16(COMMAND, true) & COMMAND_MEMORY) === 0) return undefined;
  const end = address + size;
  if (address === 0 || address % size !== 0 || !Number.isSafeInteger(end)) return undefined;
  return !is64Bit && end >= FOUR_GIB ? undefined : address;
}

function viewOf(config: Uint8Array): DataView {
  return new DataView(config.buffer, config.byteOffset, config.byteLength);
}
