import { MappedRamError, messageOf } from '../errors.ts';
import type { PhysicalMap } from '../physical/physical-map.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { flattenDevice } from '../stream/devices/flatten-device.ts';
import { NOTE_HEADER_BYTES, padded } from './note-writer.ts';

const DEVICE = 'vmcoreinfo';
/** The guest's word for an ELF note (docs/format.md §1.9). */
const FORMAT_ELF = 1;
/** QEMU takes no longer note. */
const MOST_BYTES = 1 << 20;

/** The note that a guest has left for dumps of its memory: VMCOREINFO of Linux. */
interface GuestNote {
  /** The note; empty when there is none. */
  readonly note: Uint8Array;
  /** The reason why a note that the guest speaks of is left out, in words. */
  readonly problem?: string;
}

/**
 * Finds the note that QEMU's own dump would take out of the guest's memory: the guest has told QEMU's device
 * `vmcoreinfo` where it is (docs/format.md §1.9).
 * @throws {MappedRamError} as reading from the snapshot
 */
export async function guestNote(snapshot: Snapshot, map: PhysicalMap): Promise<GuestNote> {
  const { devices } = await snapshot.devices(DEVICE);
  const device = devices.find(({ name }) => name === DEVICE);
  const values = new Map(device === undefined ? [] : flattenDevice(device));
  if (values.get('has_vmcoreinfo') !== true) return { note: new Uint8Array() };
  const [format, size, address] = ['guest_format', 'size', 'paddr'].map((name) =>
    Number(values.get(`vmcoreinfo.${name}`)),
  );
  if (format === undefined || size === undefined || address === undefined)
    return without('it is not described');
  if (format !== FORMAT_ELF) return without(`its format ${format} is not ELF's`);
  if (!(size >= NOTE_HEADER_BYTES && size <= MOST_BYTES)) return without(`it cannot have ${size} bytes`);
  let bytes: Uint8Array;
  try {
    bytes = await snapshot.readPhysical(address, size, map);
  } catch (error) {
    if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_OUT_OF_RANGE') throw error;
    return without(messageOf(error));
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [name, description] = [header.getUint32(0, true), header.getUint32(4, true)];
  const length = NOTE_HEADER_BYTES + padded(name) + padded(description);
  if (length > size) return without(`its header speaks of ${length} bytes, the guest of ${size}`);
  return { note: bytes.subarray(0, length) };
}

function without(why: string): GuestNote {
  return { note: new Uint8Array(), problem: `the guest's own note (VMCOREINFO) is left out: ${why}` };
}
