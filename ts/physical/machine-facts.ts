import { ACPI_TABLES } from '../stream/block-names.ts';
import type { SnapshotMemory } from '../pages/block-memory.ts';
import type { RandomAccessReader } from '../stream/reader.ts';
import type { MappedRamIndex, StreamIndex } from '../stream/stream-index.ts';
import type { DeviceState, DeviceStruct, DeviceValue } from '../stream/devices/device-state.ts';
import { flattenDevice } from '../stream/devices/flatten-device.ts';
import { readDevices } from '../stream/devices/read-devices.ts';
import { machineFamily, type MachineFamily } from './machine-family.ts';
import { nodeRanges, type NodeRange } from './srat.ts';

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
  /** Registers of the VGAs on the root bus, by address. */
  readonly vga: ReadonlyMap<string, VgaRegisters>;
  readonly nodes: readonly NodeRange[];
}

/** The registers of a VGA that decide on the memory at 0xa0000. */
export interface VgaRegisters {
  /** Registers of the sequencer. */
  readonly sequencer: Uint8Array;
  /** Registers of the graphics controller. */
  readonly graphics: Uint8Array;
  /** Offset of the VBE extensions' bank, in bytes. */
  readonly bankOffset: number;
}

const CLOCK = 'mc146818rtc';
const ROOT_DEVICE = /^(0000:00:[0-9a-f]{2}\.[0-7])\//;
const VGA = /^(0000:00:[0-9a-f]{2}\.[0-7])\/vga$/;
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
    vga: new Map(devices.flatMap((device) => vgaDevice(device))),
    nodes:
      tables === undefined
        ? []
        : nodeRanges(
            await (await snapshot.memory()).read(ACPI_TABLES, 0, Math.min(MAX_TABLES, tables.length)),
          ),
  };
}

function saysWhere({ name }: { readonly name: string }): boolean {
  return name === CLOCK || ROOT_DEVICE.test(name);
}

function rootDevice(device: DeviceState): readonly (readonly [string, Uint8Array])[] {
  const [, address] = ROOT_DEVICE.exec(device.name) ?? [];
  const config = address === undefined ? undefined : configSpace(device);
  return address === undefined || config === undefined ? [] : [[address, config]];
}

function vgaDevice(device: DeviceState): readonly (readonly [string, VgaRegisters])[] {
  const [, address] = VGA.exec(device.name) ?? [];
  if (address === undefined) return [];
  const values = new Map(flattenDevice(device));
  const [sequencer, graphics] = [values.get('vga.sr'), values.get('vga.gr')];
  const bankOffset = values.get('vga.bank_offset');
  if (!(sequencer instanceof Uint8Array && graphics instanceof Uint8Array)) return [];
  return typeof bankOffset === 'number' ? [[address, { sequencer, graphics, bankOffset }]] : [];
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
