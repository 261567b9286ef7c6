import { MappedRamError } from '../errors.ts';
import { byteCount } from '../io/byte-count.ts';
import type { PhysicalRange } from './address-space.ts';
import type { MachineFacts } from './machine-facts.ts';
import { nodeSizes, ramBlocks } from './ram-order.ts';
import type { NodeRange } from './srat.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** The facts that the caller knows better than the file. */
export interface PhysicalOptions {
  /**
   * The end of RAM below 4 GiB on x86 guests, in bytes. RAM that does not fit there goes on at `highMemory`.
   * @default what the ACPI tables or the guest's CMOS memory say, else what the machine does without `max-ram-below-4g`
   */
  readonly lowMemory?: number | bigint | undefined;
  /**
   * The address at which the other RAM of x86 guests goes on, in bytes.
   * @default what the ACPI tables say, else 4 GiB
   */
  readonly highMemory?: number | bigint | undefined;
  /**
   * The blocks that are the guest's RAM, in the order of their addresses, which is that of the NUMA nodes.
   * @default by name, length and the ACPI tables
   */
  readonly ramBlocks?: readonly string[] | undefined;
}

export interface RamLayout {
  readonly ranges: readonly PhysicalRange[];
  readonly assumptions: readonly string[];
}

/** RAM below 4 GiB without `max-ram-below-4g`: all of a total less than `below`, and `split` of a larger one. */
const LOW_MEMORY = {
  i440fx: { below: 3.5 * GIB, split: 3 * GIB },
  isapc: { below: 3.5 * GIB, split: 3 * GIB },
  q35: { below: 2.75 * GIB, split: 2 * GIB },
  microvm: { below: 3 * GIB, split: 3 * GIB },
} as const;
const HIGH_MEMORY = 4 * GIB;
/** QEMU moves the RAM above 4 GiB to 1 TiB for AMD CPUs if anything would lie behind this address. */
const AMD_HOLE = 1012 * GIB;
const VIRT_RAM = GIB;
const CMOS_UNIT = 64 * KIB;
const CMOS_LEAST = 16 * MIB;
/** The size at which the CMOS memory's count begins at 0 again: 24 bits count the RAM above 4 GiB. */
const CMOS_WRAPS = 1024 * GIB;

/**
 * Finds the guest's RAM. On x86, RAM begins at 0, leaves the space below 4 GiB to devices, and goes on behind it. On
 * ARM's virt, RAM is one piece from 1 GiB on.
 * @throws {MappedRamError} as `ramBlocks`; ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for options
 */
export function ramLayout(facts: MachineFacts, options: PhysicalOptions): RamLayout {
  const { family, nodes } = facts;
  if (family === 'virt') {
    assertX86Only(options);
    const sizes = nodeSizes(nodes, (address) => address - VIRT_RAM);
    // Nothing in the file counts this machine's RAM.
    const { blocks, assumptions } = ramBlocks(facts, options.ramBlocks, sizes, () => true);
    return { ranges: place(blocks, [{ address: VIRT_RAM, length: Infinity }]), assumptions };
  }
  const cmos = cmosMemory(facts.cmos);
  const [listedLow, listedHigh] = [lowEnd(nodes), highStart(nodes)];
  const sizes = nodeSizes(nodes, (address) =>
    address < HIGH_MEMORY ? address : address - listedHigh + listedLow,
  );
  const chosen = ramBlocks(facts, options.ramBlocks, sizes, (bytes) => cmos?.isTotal(bytes) ?? true);
  const total = chosen.blocks.reduce((sum, { length }) => sum + length, 0);
  // Tables that list another amount of RAM are not of this guest.
  const listed = sizes.reduce((sum, length) => sum + length, 0) === total ? nodes : [];
  const high = highMemory(listed, options);
  if (!Number.isSafeInteger(high + total)) {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'RAM ends beyond the largest address', {
      path: facts.path,
      expected: 'at most 2^53-1',
      found: `${total} bytes at ${high}`,
    });
  }
  const assumptions = [...chosen.assumptions];
  const low =
    givenLow(options) ?? knownLow(total, listed, cmos) ?? assumedLow(family, total, cmos, assumptions);
  const assumedHigh = options.highMemory === undefined && listed.length === 0;
  if (assumedHigh && high + total - low > AMD_HOLE) {
    assumptions.push('RAM goes on at 4 GiB: with a CPU of AMD, QEMU lets so much RAM go on at 1 TiB');
  }
  const gaps = [
    { address: 0, length: Math.min(low, HIGH_MEMORY) },
    { address: high, length: Infinity },
  ];
  return { ranges: place(chosen.blocks, gaps), assumptions };
}

function givenLow({ lowMemory }: PhysicalOptions): number | undefined {
  if (lowMemory === undefined) return undefined;
  const given = byteCount('lowMemory', lowMemory);
  if (given > 0 && given <= HIGH_MEMORY && given % (4 * KIB) === 0) return given;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'lowMemory', {
    expected: 'whole pages, more than 0 and at most 4 GiB',
    found: given,
  });
}

/** The ACPI tables are QEMU's. The CMOS memory is the guest's, and may say anything. */
function knownLow(
  total: number,
  nodes: readonly NodeRange[],
  cmos: CmosMemory | undefined,
): number | undefined {
  if (nodes.length > 0) return nodes.some(({ address }) => address >= HIGH_MEMORY) ? lowEnd(nodes) : total;
  if (cmos?.isTotal(total) !== true) return undefined;
  // A guest with terabytes above 4 GiB lets the count begin at 0 again.
  return cmos.high === 0 && total <= HIGH_MEMORY ? total : cmos.low;
}

function assumedLow(
  family: keyof typeof LOW_MEMORY,
  total: number,
  cmos: CmosMemory | undefined,
  assumptions: string[],
): number {
  const { below, split } = LOW_MEMORY[family];
  const low = total < below ? total : split;
  const why = cmos === undefined ? 'the file has no CMOS memory' : 'the CMOS memory speaks of other RAM';
  assumptions.push(`RAM below 4 GiB ends at ${low}, as it does without max-ram-below-4g: ${why}`);
  return low;
}

/** The sizes that QEMU tells the firmware in the clock's CMOS memory, in bytes; the CMOS counts in units of 64 KiB. */
interface CmosMemory {
  readonly low: number;
  readonly high: number;
  /** Tells whether the CMOS memory can speak of a guest with so many bytes of RAM. */
  readonly isTotal: (bytes: number) => boolean;
}

function cmosMemory(cmos: Uint8Array | undefined): CmosMemory | undefined {
  if (cmos === undefined) return undefined;
  const view = new DataView(cmos.buffer, cmos.byteOffset, cmos.byteLength);
  const low = view.getUint16(0x34, true) * CMOS_UNIT + CMOS_LEAST;
  const high = (view.getUint16(0x5b, true) + view.getUint8(0x5d) * 0x1_0000) * CMOS_UNIT;
  const isTotal = (bytes: number): boolean => {
    const above = Math.floor(Math.max(bytes, CMOS_LEAST) / CMOS_UNIT) * CMOS_UNIT - low;
    return above >= 0 && above % CMOS_WRAPS === high;
  };
  return low > HIGH_MEMORY ? undefined : { low, high, isTotal };
}

/** The end of RAM below 4 GiB. */
function lowEnd(nodes: readonly NodeRange[]): number {
  const ends = nodes.map(({ address, length }) => address + length).filter((end) => end <= HIGH_MEMORY);
  return ends.reduce((last, end) => Math.max(last, end), 0);
}

/** The start of the other RAM. */
function highStart(nodes: readonly NodeRange[]): number {
  const above = nodes.map(({ address }) => address).filter((address) => address >= HIGH_MEMORY);
  return above.length === 0 ? HIGH_MEMORY : above.reduce((first, address) => Math.min(first, address));
}

function highMemory(nodes: readonly NodeRange[], options: PhysicalOptions): number {
  if (options.highMemory !== undefined) {
    const given = byteCount('highMemory', options.highMemory);
    if (given >= HIGH_MEMORY && given % (4 * KIB) === 0) return given;
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'highMemory', {
      expected: 'whole pages, at least 4 GiB',
      found: given,
    });
  }
  return highStart(nodes);
}

function assertX86Only({ lowMemory: low, highMemory: high }: PhysicalOptions): void {
  if (low === undefined && high === undefined) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'lowMemory and highMemory are for x86 guests: RAM of this machine has no hole',
  );
}

/** Fills gaps with blocks, both in their order. */
function place(
  blocks: readonly { readonly id: string; readonly length: number }[],
  gaps: readonly { readonly address: number; readonly length: number }[],
): readonly PhysicalRange[] {
  const ranges: PhysicalRange[] = [];
  let [gap, used] = [0, 0];
  for (const { id, length } of blocks) {
    for (let offset = 0; offset < length;) {
      const { address, length: room } = gaps[gap] ?? { address: 0, length: 0 };
      const count = Math.min(length - offset, room - used);
      if (count <= 0) {
        if (gap >= gaps.length) return ranges;
        [gap, used] = [gap + 1, 0];
        continue;
      }
      ranges.push({ address: address + used, length: count, block: id, offset, kind: 'ram' });
      offset += count;
      used += count;
    }
  }
  return ranges;
}
