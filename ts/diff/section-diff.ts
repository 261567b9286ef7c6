import type { DeviceState } from '../stream/devices/device-state.ts';
import { flattenDevice, type FlatValue } from '../stream/devices/flatten-device.ts';
import { readDevices } from '../stream/devices/read-devices.ts';
import type { IndexedSection } from '../stream/stream-index.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { ByteRange, RandomAccessReader } from '../stream/reader.ts';

/** One differing value of a device. */
export interface FieldDiff {
  /** The field's path, as in `flattenDevice`: `env.segs[1].base`. */
  readonly path: string;
  /** The value on the left; undefined when that side does not have the field. */
  readonly left: FlatValue | undefined;
  readonly right: FlatValue | undefined;
}

/** The differences in one section of device state. */
export interface SectionDiff {
  readonly name: string;
  readonly instanceId: number;
  readonly kind: 'changed' | 'only-left' | 'only-right';
  /** Versions of the section's format; undefined on a side that does not have it. */
  readonly versions: { readonly left: number | undefined; readonly right: number | undefined };
  /**
   * Changed: the first differing offset, in bytes from the start of each body; undefined when only the versions differ.
   */
  readonly firstDifference: number | undefined;
  /** Changed: the values that differ, in the order of the file; undefined when a side cannot be decoded whole. */
  readonly fields: readonly FieldDiff[] | undefined;
}

/** Sections of one name and instance. */
interface SectionPair {
  readonly left: IndexedSection | undefined;
  readonly right: IndexedSection | undefined;
}

/**
 * Finds the sections of device state that differ: first by their bytes, then by the names of their fields. Section ids,
 * order and the vmdescription do not count.
 * @throws {MappedRamError} as reading does
 */
export async function diffSections(left: Snapshot, right: Snapshot): Promise<readonly SectionDiff[]> {
  const differing: (SectionPair & { readonly firstDifference: number | undefined })[] = [];
  for (const pair of pairSections(left.index.sections, right.index.sections)) {
    const at =
      pair.left === undefined || pair.right === undefined
        ? undefined
        : await firstDifference(left.reader, bodyOf(pair.left), right.reader, bodyOf(pair.right));
    const { left: a, right: b } = pair;
    const isEqual = a !== undefined && a.versionId === b?.versionId && at === undefined;
    if (!isEqual) differing.push({ ...pair, firstDifference: at });
  }
  const changed = new Set(
    differing.flatMap(({ left: a, right: b }) => (a === undefined || b === undefined ? [] : [keyOf(a)])),
  );
  const [leftDevices, rightDevices] = [await decode(left, changed), await decode(right, changed)];
  return differing.map(({ left: a, right: b, firstDifference: at }): SectionDiff => {
    const section = a ?? b;
    const both = a !== undefined && b !== undefined;
    const alone = a === undefined ? 'only-right' : 'only-left';
    return {
      name: section?.idstr ?? '',
      instanceId: section?.instanceId ?? 0,
      kind: both ? 'changed' : alone,
      versions: { left: a?.versionId, right: b?.versionId },
      firstDifference: at,
      fields: both ? diffFields(leftDevices.get(a.bodyOffset), rightDevices.get(b.bodyOffset)) : undefined,
    };
  });
}

/** Pairs sections by name and instance; several of one kind pair in their order. */
function pairSections(
  left: readonly IndexedSection[],
  right: readonly IndexedSection[],
): readonly SectionPair[] {
  const rest = new Map<string, IndexedSection[]>();
  for (const section of right) {
    const same = rest.get(keyOf(section));
    if (same === undefined) rest.set(keyOf(section), [section]);
    else same.push(section);
  }
  const pairs: SectionPair[] = left.map((section) => ({
    left: section,
    right: rest.get(keyOf(section))?.shift(),
  }));
  const alone = [...rest.values()].flat();
  return [...pairs, ...alone.map((section) => ({ left: undefined, right: section }))];
}

function keyOf({ idstr, instanceId }: IndexedSection): string {
  return `${instanceId}/${idstr}`;
}

function bodyOf({ bodyOffset, bodyLength }: IndexedSection): { offset: number; length: number } {
  return { offset: bodyOffset, length: bodyLength };
}

/** Decodes the devices with these keys; the result is keyed by the offset of the body. */
async function decode(
  { reader, index }: Snapshot,
  keys: ReadonlySet<string>,
): Promise<ReadonlyMap<number, DeviceState>> {
  if (keys.size === 0) return new Map();
  const { devices } = await readDevices(reader, index, ({ name, instanceId }) =>
    keys.has(`${instanceId}/${name}`),
  );
  return new Map(devices.map((device) => [device.offset, device]));
}

function diffFields(
  left: DeviceState | undefined,
  right: DeviceState | undefined,
): readonly FieldDiff[] | undefined {
  if (left === undefined || right === undefined) return undefined;
  if (left.problem !== undefined || right.problem !== undefined) return undefined;
  const rest = new Map(flattenDevice(right));
  const fields: FieldDiff[] = [];
  for (const [path, value] of flattenDevice(left)) {
    const other = rest.get(path);
    rest.delete(path);
    if (!isSame(value, other)) fields.push({ path, left: value, right: other });
  }
  for (const [path, value] of rest) fields.push({ path, left: undefined, right: value });
  return fields;
}

function isSame(left: FlatValue, right: FlatValue | undefined): boolean {
  if (left instanceof Uint8Array && right instanceof Uint8Array) return Buffer.compare(left, right) === 0;
  return left === right;
}

const PIECE = 1 << 20;

/**
 * Returns the first differing offset of two ranges, in bytes from their starts; undefined when they are equal. When one
 * range is the beginning of the other, they differ at its end. Memory does not grow with the ranges.
 * @throws as the readers do
 */
export async function firstDifference(
  left: RandomAccessReader,
  leftRange: ByteRange,
  right: RandomAccessReader,
  rightRange: ByteRange,
): Promise<number | undefined> {
  const length = Math.min(leftRange.length, rightRange.length);
  for (let done = 0; done < length; done += PIECE) {
    const size = Math.min(PIECE, length - done);
    const [a, b] = [
      await left.read(leftRange.offset + done, size),
      await right.read(rightRange.offset + done, size),
    ];
    if (Buffer.compare(a, b) !== 0) return done + a.findIndex((byte, at) => byte !== b[at]);
  }
  return leftRange.length === rightRange.length ? undefined : length;
}
