import { membersOf, type CommandLineOption } from './options.ts';
import { isOn, type OptionValue } from './option-value.ts';

/** A `-object memory-backend-…` of the caller's. */
export interface OwnBackend {
  readonly members: OptionValue;
  /** The driver of the `-device` that the object is for; undefined when no device names it. */
  readonly device: string | undefined;
}

/** The device whose memory is RAM like any other. All other devices' memory has a life of its own. */
const RAM_DEVICE = 'pc-dimm';

/** Finds the caller's memory backends, by id, and the devices that they are for. */
export function ownBackends(options: readonly CommandLineOption[]): ReadonlyMap<string, OwnBackend> {
  const devices = membersOf(options, 'device');
  const found = new Map<string, OwnBackend>();
  for (const members of membersOf(options, 'object')) {
    const id = members.get('id');
    if (id === undefined || !isMemoryBackend(members)) continue;
    const device = devices.find((candidate) => candidate.get('memdev') === id);
    found.set(id, { members, device: device?.get('driver') });
  }
  return found;
}

/** True when an object is memory. */
export function isMemoryBackend(object: OptionValue): boolean {
  return object.get('qom-type')?.startsWith('memory-backend-') ?? false;
}

/**
 * True when an object that is not main memory has to stay the caller's. The devices of most objects show the guest
 * something else than RAM: a file that outlives the guest (nvdimm, acpi-erst), or that others see (ivshmem-plain). A
 * shared file without a visible device may be such a file, too. QEMU cannot read a block into read-only memory, so
 * read-only objects do not stay.
 */
export function staysOwn({ members, device }: OwnBackend): boolean {
  if (isOn(members.get('readonly')) && members.get('rom') !== 'off') return false;
  return device === undefined ? isOn(members.get('share')) && isFile(members) : device !== RAM_DEVICE;
}

/** Names the file that the guest loses when an object is replaced; undefined where none is worth a word. */
export function lostFile({ members, device }: OwnBackend): string | undefined {
  if (device === undefined || !isFile(members)) return undefined;
  return device !== RAM_DEVICE || isOn(members.get('share')) ? members.get('mem-path') : undefined;
}

function isFile(members: OptionValue): boolean {
  return members.get('qom-type') === 'memory-backend-file';
}
