import { ACPI_TABLES } from '../stream/block-names.ts';
import type { SnapshotMemory } from '../pages/block-memory.ts';
import type { RandomAccessReader } from '../stream/reader.ts';
import type { MappedRamIndex, StreamIndex } from '../stream/stream-index.ts';
import type { DeviceState, DeviceStruct, DeviceValue } from '../stream/devices/device-state.ts';
import { flattenDevice } from '../stream/devices/flatten-device.ts';
import { readDevices } from '../stream/devices/read-devices.ts';
import { machineFamily, type MachineFamily } from './machine-family.ts';
import { nodeRanges, type NodeRange } from './srat.ts';
import { isVgaSection, vgaRegisters, type VgaRegisters } from './vga-registers.ts';

/** The parts of a snapshot that the map needs: a `Snapshot` will do. */
export interface PhysicalSource {
  readonly path: string;
  readonly index: StreamIndex;
  readonly reader: RandomAccessReader;
  /** The RAM as `Snapshot.completeRam` gives it. */
  readonly completeRam: (ignoreDeviceState?: boolean) => MappedRamIndex;
  readonly memory: () => Promise<SnapshotMemory>;
}

/** The facts in a snapshot about where its blocks are mapped. */
export interface MachineFacts {
  readonly path: string;
  /** The machine type. */
  readonly machine: string;
  readonly family: MachineFamily;
  /** The blocks with pages, in file order. */
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  /** The CMOS memory of the real-time clock: 128 bytes. */
  readonly cmos: Uint8Array | undefined;
  /** Configuration spaces of PCI devices on the root bus, by address: `0000:00:01.0`. */
  readonly pci: ReadonlyMap<string, Uint8Array>;
  /** Registers of the VGAs, by PCI address; empty for a section that names none. */
  readonly vga: ReadonlyMap<string, VgaRegisters>;
  /** The places of virtio-mem devices, by PCI address. */
  readonly virtioMem: ReadonlyMap<string, DevicePlace>;
  /** Names of sections of chips whose registers are at fixed addresses. */
  readonly chips: ReadonlySet<string>;
  readonly nodes: readonly NodeRange[];
}

/** The place of a memory device. All numbers are bytes. */
export interface DevicePlace {
  readonly address: number;
  readonly length: number;
}

const CLOCK = 'mc146818rtc';
const CHIPS: ReadonlySet<string> = new Set(['apic', 'hpet', 'ioapic']);
const VIRTIO_MEM = /^(.+)\/virtio-mem-device-early$/;
const ROOT_DEVICE = /^(0000:00:[0-9a-f]{2}\.[0-7])\//;
const CONFIG_BYTES = 256;
const PCI_DEVICE_VERSION = Uint8Array.of(0, 0, 0, 2);
/** The most bytes of ACPI tables that are read; QEMU's largest have 2 MiB. */
const MAX_TABLES = 4 * 1024 * 1024;

/**
 * Reads the facts out of a snapshot.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for an unknown machine; and as `Snapshot.read`
 */
export async function machineFacts(snapshot: PhysicalSource): Promise<MachineFacts> {
  const { index, path } = snapshot;
  const family = machineFamily(index.configuration, path);
  const { blocks } = snapshot.completeRam(true);
  const { devices } = await readDevices(snapshot.reader, index, saysWhere);
  const clock = devices.find(({ name }) => name === CLOCK);
  const cmos = clock?.fields.find(({ name }) => name === 'cmos_data')?.value;
  const tables = blocks.find(({ id, skipped }) => id === ACPI_TABLES && !skipped);
  return {
    path,
    machine: index.machine,
    family,
    blocks: blocks.filter(({ skipped }) => !skipped).map(({ id, length }) => ({ id, length })),
    cmos: cmos instanceof Uint8Array && cmos.length === 128 ? cmos : undefined,
    pci: new Map(devices.flatMap((device) => rootDevice(device))),
    vga: new Map(devices.flatMap((device) => vgaRegisters(device))),
    virtioMem: new Map(devices.flatMap((device) => virtioMem(device))),
    chips: new Set(devices.map(({ name }) => name).filter((name) => CHIPS.has(name))),
    nodes:
      tables === undefined
        ? []
        : nodeRanges(
            await (await snapshot.memory()).read(ACPI_TABLES, 0, Math.min(MAX_TABLES, tables.length)),
          ),
  };
}

function saysWhere({ name }: { readonly name: string }): boolean {
  return (
    name === CLOCK || CHIPS.has(name) || ROOT_DEVICE.test(name) || isVgaSection(name) || VIRTIO_MEM.test(name)
  );
}

function rootDevice(device: DeviceState): readonly (readonly [string, Uint8Array])[] {
  const [, address] = ROOT_DEVICE.exec(device.name) ?? [];
  const config = address === undefined ? undefined : configSpace(device);
  return address === undefined || config === undefined ? [] : [[address, config]];
}

/** A virtio-mem device says where it is, lest it be loaded elsewhere. */
function virtioMem(device: DeviceState): readonly (readonly [string, DevicePlace])[] {
  const [, path] = VIRTIO_MEM.exec(device.name) ?? [];
  if (path === undefined) return [];
  const values = new Map(flattenDevice(device));
  const [address, length] = ['tmp.addr', 'tmp.region_size'].map((name) => Number(values.get(name)));
  if (address === undefined || length === undefined) return [];
  return Number.isSafeInteger(address + length) ? [[path, { address, length }]] : [];
}

/**
 * The configuration space of a PCI device. QEMU keeps it some levels down, in the state of the type that the device is
 * derived from.
 */
function configSpace(struct: DeviceStruct): Uint8Array | undefined {
  for (const { type, value } of struct.fields) {
    const [only] = Array.isArray(value) && value.length === 1 ? value : [value];
    if (type === 'pci config' && only instanceof Uint8Array && only.length >= CONFIG_BYTES) return only;
    if (type === 'virtio' && only instanceof Uint8Array) return virtioConfigSpace(only);
    const found = isStruct(only) ? configSpace(only) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The configuration space of a virtio device. QEMU does not describe that device's state: on PCI it begins with the
 * state of the PCI device.
 */
function virtioConfigSpace(state: Uint8Array): Uint8Array | undefined {
  const version = state.subarray(0, 4);
  const isPci = Buffer.compare(version, PCI_DEVICE_VERSION) === 0 && state.length >= 4 + CONFIG_BYTES;
  return isPci ? state.subarray(4, 4 + CONFIG_BYTES) : undefined;
}

function isStruct(value: DeviceValue | undefined): value is DeviceStruct {
  return typeof value === 'object' && value !== null && 'vmsdName' in value;
}
