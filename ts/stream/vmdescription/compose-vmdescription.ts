import { MappedRamError } from '../../errors.ts';
import type { Configuration } from '../configuration.ts';
import { MAX_VMDESCRIPTION_BYTES, RECORD } from '../constants.ts';
import { decodeDevice } from '../devices/decode-device.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { SectionRecord } from '../records.ts';
import { deviceBodyLength } from './body-length.ts';
import { DeviceLengths } from './device-lengths.ts';
import type { Vmdescription, VmdescriptionDevice } from './vmdescription.ts';
import { X86_CPU_SECTIONS } from './x86-cpu-fields.ts';

/** The parts of a new vmdescription. */
export interface DescriptionParts {
  /** The sections in the order in which the stream has them. */
  readonly sections: readonly SectionRecord[];
  readonly configuration: Configuration;
  /** The architecture, as query-target names it. Default unknown: then no CPU is described. */
  readonly target?: string | undefined;
  /** In bytes. */
  readonly targetPageSize: number;
  /** The vmdescription of another stream of this machine. Default none: then every section is one field. */
  readonly base: Vmdescription | undefined;
  /** Further members of the outermost object. No name may be one of QEMU's own. Default none. */
  readonly members: Readonly<Record<string, unknown>> | undefined;
}

const OWN_MEMBERS: ReadonlySet<string> = new Set(['configuration', 'page_size', 'devices']);
/** The most bytes of a body that is decoded to see whether a description fits. Its length has to do for longer ones. */
const MAX_DECODED = 4 * 1024 * 1024;
/** The most values of all bodies that are decoded for that. */
const MAX_VALUES = 4 * 1024 * 1024;

const encoder = new TextEncoder();

/**
 * Composes the vmdescription of device state that QEMU wrote without one (docs/format.md §1.5, §4.4). A section whose
 * entry in the base fits it gets that entry, and an x86_64 CPU the fields that all of them have; any other is one field
 * of its length, as QEMU describes handlers of the old style.
 * @param reader of the sections
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a member that is QEMU's own; ERR_MAPPED_RAM_UNSUPPORTED
 *   when the result would be longer than a reader takes; and the reader's errors
 */
export async function composeVmdescription(
  reader: RandomAccessReader,
  { sections, configuration, target, targetPageSize, base, members = {} }: DescriptionParts,
): Promise<Uint8Array> {
  const own = Object.keys(members).find((name) => OWN_MEMBERS.has(name));
  if (own !== undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'member of a vmdescription', {
      expected: "a name that is not one of QEMU's own",
      found: own,
    });
  }
  // No section reaches beyond the source.
  const lengths = new DeviceLengths(base?.devices ?? [], reader.size);
  const budget = { values: MAX_VALUES };
  const devices: VmdescriptionDevice[] = [];
  for (const section of sections) {
    const known = lengths.takeDevice(section.idstr, section.instanceId);
    const fits = known !== undefined && (await describes(reader, known, section, budget));
    const cpu = fits || target !== 'x86_64' ? undefined : await x86Cpu(reader, section);
    devices.push(fits ? known : (cpu ?? oneField(section)));
  }
  const described = {
    configuration: base?.configuration ?? describeConfiguration(configuration),
    page_size: targetPageSize,
    devices,
    ...members,
  };
  const json = encoder.encode(JSON.stringify(described));
  if (json.length <= MAX_VMDESCRIPTION_BYTES) return json;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'length of the vmdescription', {
    path: reader.name,
    expected: `at most ${MAX_VMDESCRIPTION_BYTES}`,
    found: json.length,
  });
}

/** Tells whether an entry describes a section: an optional part may have come or gone since the entry was written. */
async function describes(
  reader: RandomAccessReader,
  entry: VmdescriptionDevice,
  { bodyOffset: offset, bodyLength, versionId }: SectionRecord,
  budget: { values: number },
): Promise<boolean> {
  if (entry['version'] !== undefined && entry['version'] !== versionId) return false;
  if (deviceBodyLength(entry) !== bodyLength) return false;
  if (bodyLength > MAX_DECODED) return true;
  const bytes = new Uint8Array(await reader.read(offset, bodyLength));
  const { problem, rest } = decodeDevice({ path: reader.name, offset, bytes }, entry, budget);
  return problem === undefined && rest === undefined;
}

/** Describes a section of an x86_64 CPU: its fields are the same in all versions of QEMU, and subsections follow. */
async function x86Cpu(
  reader: RandomAccessReader,
  { idstr, instanceId, versionId, bodyOffset, bodyLength }: SectionRecord,
): Promise<VmdescriptionDevice | undefined> {
  const known = X86_CPU_SECTIONS.get(idstr);
  if (known === undefined || versionId !== known.version || bodyLength < known.bytes) return undefined;
  const { fields, bytes } = known;
  const entry = { name: idstr, instance_id: instanceId, vmsd_name: idstr, version: versionId };
  const rest = bodyLength - bytes;
  if (rest === 0) return { ...entry, fields };
  const [next] = await reader.read(bodyOffset + bytes, 1);
  if (next !== RECORD.subsection) return undefined;
  return { ...entry, fields: [...fields, { name: 'subsections', size: rest, type: 'buffer' }] };
}

function oneField({ idstr, instanceId, bodyLength }: SectionRecord): VmdescriptionDevice {
  const fields = [{ name: 'data', size: bodyLength, type: 'buffer' }];
  return { name: idstr, instance_id: instanceId, fields };
}

/** Describes CONFIGURATION as QEMU does. The entry for capabilities is `rewriteVmdescription`'s to put in. */
function describeConfiguration({ machine, targetPageBits, uuid }: Configuration): object {
  const subsections = [
    ...(targetPageBits === undefined
      ? []
      : [subsection('target-page-bits', { name: 'target_page_bits', type: 'uint32', size: 4 })]),
    ...(uuid === undefined
      ? []
      : [subsection('uuid', { name: 'uuid.data', array_len: uuid.length, type: 'uint8', size: 1 })]),
  ];
  return {
    vmsd_name: 'configuration',
    version: 1,
    fields: [
      { name: 'len', type: 'uint32', size: 4 },
      { name: 'name', type: 'buffer', size: encoder.encode(machine).length },
    ],
    ...(subsections.length === 0 ? {} : { subsections }),
  };
}

function subsection(name: string, field: object): object {
  return { vmsd_name: `configuration/${name}`, version: 1, fields: [field] };
}
