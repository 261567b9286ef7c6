import { MappedRamError } from '../../errors.ts';
import { DeviceLengths } from '../vmdescription/device-lengths.ts';
import { findVmdescription } from '../vmdescription/find-vmdescription.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { StreamIndex } from '../stream-index.ts';
import type { VmdescriptionDevice } from '../vmdescription/vmdescription.ts';
import { decodeDevice, type DecodeBudget, type DecodedBody } from './decode-device.ts';
import type { DeviceState, DeviceStates, UndescribedSection } from './device-state.ts';
import { endOfWalk, findSections } from './find-sections.ts';

/** The most bytes of all bodies that are decoded together. QEMU's large ones are the resources of a graphics card. */
const MAX_BYTES = 256 * 1024 * 1024;

/** The most values that are decoded together; a large guest has some ten thousand. */
const MAX_VALUES = 4 * 1024 * 1024;

/** Tells whether the caller asks for a section. */
export type DeviceFilter = (section: { readonly name: string; readonly instanceId: number }) => boolean;

/**
 * Makes a filter for devices of a name: `0000:00:02.0/virtio-net`, or the last part of it, `virtio-net`. A name with an
 * instance, `cpu/1`, asks only for that one.
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
 * `problems` names whatever is missing or does not fit; the rest is given all the same.
 *
 * @param wanted the devices to decode. Default all
 * @throws {MappedRamError} the reader's errors
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
  const add = async (section: Section): Promise<void> => {
    const { name, instanceId, version, bodyOffset: offset, bodyLength: size, full } = section;
    const description = full ? descriptions?.takeDevice(name, instanceId) : undefined;
    if (!wanted(section)) return;
    if (description === undefined || size === undefined) {
      undescribed.push({ name, instanceId, version, offset, size });
      return;
    }
    const device = await readDevice(reader, { ...section, bodyLength: size }, description, budget);
    devices.push(device);
    if (device.problem !== undefined) problems.push(device.problem);
  };
  for (const section of index.sections) {
    const { idstr: name, versionId: version, kind } = section;
    await add({ ...section, name, version, full: kind === 'full' });
  }
  if (index.problem !== undefined) problems.push(index.problem);
  for (const section of await findSections(reader, index)) await add({ ...section, full: true });
  return { devices, undescribed, problems };
}

interface Section {
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  readonly bodyOffset: number;
  readonly bodyLength: number | undefined;
  readonly early: boolean;
  readonly full: boolean;
}

interface ReadBudget extends DecodeBudget {
  bytes: number;
}

async function readDevice(
  reader: RandomAccessReader,
  section: Section & { readonly bodyLength: number },
  description: VmdescriptionDevice,
  budget: ReadBudget,
): Promise<DeviceState> {
  const { name, instanceId, version, bodyOffset: offset, bodyLength: size, early } = section;
  const where = { name, instanceId, version, offset, size, early };
  if (size > budget.bytes) {
    const message = `device ${name}/${instanceId}: too many bytes of device state`;
    const expected = `at most ${MAX_BYTES} bytes of all devices`;
    const context = { path: reader.name, offset, expected, found: size };
    const problem = new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', message, context);
    return { ...where, vmsdName: '', fields: [], subsections: [], rest: undefined, problem };
  }
  budget.bytes -= size;
  // A copy is needed: values are views of it, and a reader's buffer may hold more than was asked for.
  const bytes = new Uint8Array(await reader.read(offset, size));
  const decoded = decodeDevice({ path: reader.name, offset, bytes }, description, budget);
  const problem = decoded.problem ?? versionProblem(reader.name, where, decoded);
  return { ...decoded, ...where, problem };
}

/** Compares versions. Handlers of the old style have no description of their own, and no version in it. */
function versionProblem(
  path: string,
  {
    name,
    instanceId,
    offset,
    version: found,
  }: Pick<DeviceState, 'name' | 'instanceId' | 'offset' | 'version'>,
  { vmsdName, version: expected }: DecodedBody,
): MappedRamError | undefined {
  if (vmsdName === '' || expected === found) return undefined;
  const message = `the vmdescription describes another version of device ${name}/${instanceId}`;
  return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', message, { path, offset, expected, found });
}

/** The descriptions behind a stream that could be walked to its end; else those at the end of the file. */
async function descriptionsOf(
  reader: RandomAccessReader,
  index: StreamIndex,
): Promise<DeviceLengths | undefined> {
  const { vmdescription, ram } = index;
  if (vmdescription?.json !== undefined)
    return new DeviceLengths(vmdescription.json.devices, vmdescription.offset);
  // Guest memory that could hold anything is not searched.
  if (ram !== undefined && ram.startEnd === undefined) return undefined;
  const forward = ram === undefined || ram.ended || ram.form === 'mapped-ram';
  const found = await findVmdescription(reader, endOfWalk(index), { forward });
  return found === undefined ? undefined : new DeviceLengths(found.json.devices, found.offset);
}
