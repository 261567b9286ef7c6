import type { AddressSpace } from './address-space.ts';
import type { MachineFacts } from './machine-facts.ts';
import type { MachineFamily } from './machine-family.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const FOUR_GIB = 2 ** 32;

/** The registers of chips that answer before memory does. */
const CHIPS = [
  { section: 'ioapic', address: 0xfec0_0000, length: 4 * KIB },
  { section: 'hpet', address: 0xfed0_0000, length: KIB },
  { section: 'apic', address: 0xfee0_0000, length: MIB },
] as const;

/** The host bridge's register of the memory for system management (SMRAM), and its bits. */
const SMRAM = { i440fx: 0x72, q35: 0x9d } as const;
const OPEN = 0x40;
const ENABLED = 0x08;
/** q35 can hide the end of the RAM below 4 GiB (TSEG): on or off, and its size in MiB. */
const TSEG = 0x9e;
const TSEG_ON = 1;
const TSEG_MIB = [1, 2, 8] as const;
/** The size by the fourth choice. The register has it once the guest has asked for it, else QEMU's default holds. */
const TSEG_EXTENDED = { register: 0x50, default: 16, most: 0xfff };
/** q35 can hide the place where a CPU has its first code for system management. */
const SMBASE = { register: 0x9c, hidden: 2, address: 0x30000, length: 128 * KIB };

/** Leaves nothing where a PC's chips have their registers. */
export function clearChips(space: AddressSpace, { chips }: Pick<MachineFacts, 'chips'>): void {
  for (const { section, address, length } of CHIPS) if (chips.has(section)) space.clear(address, length);
}

/** Tells whether the firmware lets everybody see the RAM behind the window from 0xa0000 to 0xbffff. */
export function isSmramOpen(family: MachineFamily, bridge: Uint8Array | undefined): boolean {
  if (family !== 'i440fx' && family !== 'q35') return false;
  return ((bridge?.[SMRAM[family]] ?? 0) & OPEN) !== 0;
}

/** Leaves nothing where a q35 hides RAM from all but the code for system management. */
export function clearSmram(space: AddressSpace, bridge: Uint8Array): void {
  if (((bridge[SMBASE.register] ?? 0) & SMBASE.hidden) !== 0) space.clear(SMBASE.address, SMBASE.length);
  const tseg = bridge[TSEG] ?? 0;
  if (((bridge[SMRAM.q35] ?? 0) & ENABLED) === 0 || (tseg & TSEG_ON) === 0) return;
  const ram = space.ranges().findLast(({ address, kind }) => kind === 'ram' && address < FOUR_GIB);
  if (ram === undefined) return;
  const length = tsegBytes(bridge, tseg);
  const end = Math.min(ram.address + ram.length, FOUR_GIB);
  space.clear(Math.max(0, end - length), Math.min(length, end));
}

function tsegBytes(bridge: Uint8Array, tseg: number): number {
  const { register, default: usual, most } = TSEG_EXTENDED;
  const asked = (bridge[register] ?? 0) + (bridge[register + 1] ?? 0) * 0x100;
  const extended = asked > 0 && asked <= most ? asked : usual;
  return (TSEG_MIB[(tseg >>> 1) & 3] ?? extended) * MIB;
}
