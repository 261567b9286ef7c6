import { MappedRamError } from '../../errors.ts';
import { DeviceLengths } from '../device-lengths.ts';
import { findVmdescription } from '../find-vmdescription.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { IndexedSection, StreamIndex } from '../stream-index.ts';
import type { VmdescriptionDevice } from '../vmdescription.ts';
import { decodeDevice, type DecodeBudget } from './decode-device.ts';
import type { DeviceState, DeviceStates, UndescribedSection } from './device-state.ts';

/** Of one device's body. QEMU's large ones are a graphics card's resources. */
const MAX_BODY_BYTES = 128 * 1024 * 1024;

/** Of all bodies that are decoded together. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Of all that is decoded together; a large guest has some ten thousand. */
const MAX_VALUES = 4 * 1024 * 1024;

/** Whether a section is asked for. */
export type DeviceFilter = (section: { readonly name: string; readonly instanceId: number }) => boolean;

/**
 * Devices by their names: `0000:00:02.0/virtio-net`, or the last part of it, `virtio-net`; with an instance, `cpu/1`, only
 * that one.
 */
export function deviceNamed(wanted: string): DeviceFilter {
  const slash = wanted.lastIndexOf('/');
  const [beforeSlash, behindSlash] = [wanted.slice(0, Math.max(0, slash)), wanted.slice(slash + 1)];
  return ({ name, instanceId }) =>
    isCalled(name, wanted) || (behindSlash === String(instanceId) && isCalled(name, beforeSlash));
}

function isCalled(name: string, wanted: string): boolean {
  return wanted !== '' && (name === wanted || name.endsWith(`/${wanted}`));
}

/**
 * Decodes the device state of a stream, section by section, by the vmdescription (docs/format.md §1.5, §1.6).
 *
 * What is missing or does not fit is said in `problems`; the rest is given all the same.
 *
 * @param wanted the devices to decode. Default all
 * @throws {MappedRamError} what the reader throws
 */
export async function readDevices(
  reader: RandomAccessReader,
  index: StreamIndex,
  wanted: DeviceFilter = () => true,
): Promise<DeviceStates> {
  const descriptions = await descriptionsOf(reader, index);
  const budget: ReadBudget = { values: MAX_VALUES, bytes: MAX_BYTES };
  const devices: DeviceState[] = [];
  const undescribed: UndescribedSection[] = [];
  const problems: MappedRamError[] = [];
  for (const section of index.sections) {
    const { idstr: name, instanceId, versionId: version } = section;
    const description = section.kind === 'full' ? descriptions?.takeDevice(name, instanceId) : undefined;
    if (!wanted({ name, instanceId })) continue;
    if (description === undefined) {
      undescribed.push({ name, instanceId, version, offset: section.bodyOffset, size: section.bodyLength });
    } else {
      const device = await readDevice(reader, section, description, budget);
      devices.push(device);
      if (device.problem !== undefined) problems.push(device.problem);
    }
  }
  if (index.problem !== undefined) problems.push(index.problem);
  return { devices, undescribed, problems };
}

interface ReadBudget extends DecodeBudget {
  bytes: number;
}

async function readDevice(
  reader: RandomAccessReader,
  section: IndexedSection,
  description: VmdescriptionDevice,
  budget: ReadBudget,
): Promise<DeviceState> {
  const { idstr: name, instanceId, versionId, bodyOffset: offset, bodyLength: size, early } = section;
  const where = { name, instanceId, offset, size, early };
  budget.bytes -= size;
  if (size > MAX_BODY_BYTES || budget.bytes < 0) {
    const problem = new MappedRamError(
      'ERR_MAPPED_RAM_UNSUPPORTED',
      `device ${name}/${instanceId} is too large`,
      {
        path: reader.name,
        offset,
        expected: `at most ${MAX_BODY_BYTES} bytes, and ${MAX_BYTES} for all devices`,
        found: size,
      },
    );
    return {
      ...where,
      vmsdName: '',
      version: versionId,
      fields: [],
      subsections: [],
      rest: undefined,
      problem,
    };
  }
  // A copy: values are views of it, and a reader's buffer may hold more than was asked for.
  const bytes = new Uint8Array(await reader.read(offset, size));
  const decoded = decodeDevice({ path: reader.name, offset, bytes }, description, budget);
  return { ...decoded, ...where, version: versionId };
}

/** In a stream that could be walked to its end, the one of the index; else the one at the end of the file. */
async function descriptionsOf(
  reader: RandomAccessReader,
  index: StreamIndex,
): Promise<DeviceLengths | undefined> {
  const { vmdescription, ram } = index;
  if (vmdescription?.json !== undefined)
    return new DeviceLengths(vmdescription.json.devices, vmdescription.offset);
  const last = index.sections.findLast(({ kind }) => kind === 'full');
  if (last === undefined) return undefined;
  // Guest memory that could hold anything is not searched.
  const forward = ram === undefined || ram.ended || ram.form === 'mapped-ram';
  const found = await findVmdescription(reader, last.offset + last.length, { forward });
  return found === undefined ? undefined : new DeviceLengths(found.json.devices, found.offset);
}
