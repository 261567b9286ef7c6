/**
 * What the names of RAM blocks tell. QEMU chooses most of the names. A block with a `/` or `:` in its name belongs to a
 * device, a block below `/objects/` to a memory backend of a machine type up to 3.1. No name alone says that a block is
 * RAM: `findMainMemory` has the facts for that.
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
/** The memory of a VGA for ISA. */
export const ISA_VGA_MEMORY = 'vga.vram';
/** The commands of VMware's graphics card, whose other memory is like a VGA's. */
export const VMWARE_FIFO = 'vmsvga.fifo';
/** The ACPI tables that QEMU made for the firmware. */
export const ACPI_TABLES = '/rom@etc/acpi/tables';

const OBJECTS = '/objects/';
/** The ids that QEMU allows for objects, and the paths of such objects. */
const OBJECT = /^(?:\/objects\/)?[a-z][a-z0-9._-]*$/i;
/** Names of boards' and devices' own blocks that an object could have, too. */
const QEMUS_OWN =
  /\.(?:bios|rom|mrom|sram|vram|vgavram|fifo|flash\d+|tag|secure-tag|secure-ram)$|^(?:isa-bios|tpm-ppi|tpm-crb-cmd|vmclock_page|openrisc\.ram|xtensa\.sysr[ao]m\d+)$/;
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

/** Tells whether a block has a name that a memory backend can give it. */
export function isObjectsName(id: string): boolean {
  return OBJECT.test(id);
}

/**
 * Tells whether boards or devices of QEMU's call their own memory so. The list is never complete: it only narrows a
 * choice that better facts leave open.
 */
export function isQemusOwnName(id: string): boolean {
  return QEMUS_OWN.test(id);
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
