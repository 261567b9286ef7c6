/**
 * Everything that the names of RAM blocks tell. QEMU chooses most of the names, and nothing else in a file says what a
 * block is for. A block with a `/` or `:` in its name belongs to a device, a block below `/objects/` to a memory
 * backend of a machine type up to 4.0.
 */

/** A PC's firmware, without pflash. */
export const PC_BIOS = 'pc.bios';
/** A PC's space for option ROMs. */
export const PC_ROM = 'pc.rom';
/** A copy of the end of a PC's firmware, below 1 MiB. */
export const ISA_BIOS = 'isa-bios';
/** The two pflash devices of a PC. */
export const PC_FLASH: readonly [string, string] = ['system.flash0', 'system.flash1'];
/** The two pflash devices of ARM's machine virt. */
export const VIRT_FLASH: readonly [string, string] = ['virt.flash0', 'virt.flash1'];
/** The ACPI tables that QEMU made for the firmware. */
export const ACPI_TABLES = '/rom@etc/acpi/tables';

const OBJECTS = '/objects/';
const OBJECT = /^\/objects\/[^/:]+$/;
/** Blocks that QEMU names itself, that are no RAM, and whose names look like a memory backend's. */
const NO_RAM =
  /^(?:pc\.bios|pc\.rom|isa-bios|system\.flash\d+|virt\.flash\d+|tpm-ppi|vga\.vram|vmsvga\.fifo)$/;
const DEFAULT_RAM = new Set(['pc.ram', 'microvm.ram', 'mach-virt.ram']);
/** Blocks that machines, firmware and devices bring along under names of their own. */
const DEVICE_BLOCK =
  /^\/rom@|^[^/]+\/|\.(bios|rom|mrom|sram|vram)$|^(isa-bios|system\.flash\d|virt\.flash\d)/;
/** `system.flash0`, `virt.flash1`, `versatile.flash`, `zynq.pflash`, `collie.fl1`, `omap_sx1.flash0-1`, `mips_malta.bios`. */
const FIRMWARE = /^(?:.+\.)?(?:p?flash|fl)\d*(?:-\d+)?$|^isa-bios$|^mips_malta\.bios$/;
const WITHOUT_ADDRESS = /^\/rom@|\.rom$|^(?:pc\.bios|isa-bios)$/;
const VIDEO_MEMORY = /^(0000:00:[0-9a-f]{2}\.[0-7])\/(?:vga\.vram|bochs-display-vram)$/;
const OPTION_ROM = /^(0000:00:[0-9a-f]{2}\.[0-7])\/[^/]+\.rom$/;
const VGA_MEMORY = /^(?:(.+)\/)?(?:vga\.vram|qxl\.vgavram)$/;

/**
 * Tells whether a block is firmware that QEMU fills from its image before it loads a guest: the pflash of any machine,
 * and a PC's copy of the end of it (docs/format.md §4.2). Other ROMs are empty then.
 */
export function isFirmware(id: string): boolean {
  return FIRMWARE.test(id);
}

/** Tells whether a block can be the guest's RAM, and not firmware or a device's memory. */
export function mayBeRam(id: string): boolean {
  return OBJECT.test(id) || (!/[/:]/.test(id) && !NO_RAM.test(id));
}

/** Tells whether a block is the RAM that `-m` alone makes, on a machine whose layout is known. */
export function isDefaultRam(id: string): boolean {
  return DEFAULT_RAM.has(id);
}

/** Tells whether a machine type has a block of this name unless `-machine memory-backend=` names another. */
export function isDefaultMemory(id: string): boolean {
  return id.endsWith('.ram');
}

/** Tells whether a block is memory that an `-object memory-backend-…` can bring. */
export function isBackendMemory(id: string): boolean {
  return id.startsWith(OBJECTS) || !DEVICE_BLOCK.test(id);
}

/** The id of the memory backend that a block is named after. */
export function backendOf(id: string): string {
  return id.startsWith(OBJECTS) ? id.slice(OBJECTS.length) : id;
}

/** Tells whether the guest sees a block at no address, or not at all times. */
export function isWithoutAddress(id: string): boolean {
  return WITHOUT_ADDRESS.test(id);
}

/** The PCI address of the graphics card whose first memory BAR is this block; undefined for other blocks. */
export function videoDeviceOf(id: string): string | undefined {
  return VIDEO_MEMORY.exec(id)?.[1];
}

/** The PCI address of the device whose ROM BAR is this block; undefined for other blocks. */
export function romDeviceOf(id: string): string | undefined {
  return OPTION_ROM.exec(id)?.[1];
}

/** The address of the VGA whose memory this block is, empty for one that is on no bus; undefined for other blocks. */
export function vgaDeviceOf(id: string): string | undefined {
  const found = VGA_MEMORY.exec(id);
  return found === null ? undefined : (found[1] ?? '');
}
