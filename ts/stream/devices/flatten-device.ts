import type { DeviceStruct, DeviceValue } from './device-state.ts';

/** The value at a path of a device: one that holds no others. */
export type FlatValue = number | bigint | boolean | null | Uint8Array;

/**
 * The values of a device by their paths, in file order: `env.segs[1].base`, `fdc/state.status`. Dots join names,
 * elements of arrays are numbered, and the fields of a subsection have its name and a colon in front of their paths.
 * When a struct has a name several times, its later fields are called `name#2`, `name#3`. A path that was there already
 * gets such an end, too: i8254 has an array `channels` and a field called `channels[0].next_transition_time`. So no two
 * values have the same path. The same device at two moments has the same paths, unless it wrote other subsections or
 * arrays of other lengths.
 */
export function flattenDevice(device: DeviceStruct): readonly (readonly [path: string, value: FlatValue])[] {
  const flat: Flat = { values: new Map(), times: new Map() };
  addStruct(flat, '', device);
  return [...flat.values];
}

interface Flat {
  readonly values: Map<string, FlatValue>;
  /** The number of times that a path came, for the paths that came more than once. */
  readonly times: Map<string, number>;
}

function addStruct(flat: Flat, prefix: string, struct: DeviceStruct): void {
  const seen = new Map<string, number>();
  for (const { name, value } of struct.fields) {
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    addValue(flat, `${prefix}${name}${times === 1 ? '' : `#${times}`}`, value);
  }
  for (const subsection of struct.subsections)
    addStruct(flat, `${prefix}${subsection.vmsdName}:`, subsection);
}

function addValue(flat: Flat, path: string, value: DeviceValue): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array)
    addScalar(flat, path, value);
  else if (isStruct(value)) addStruct(flat, `${path}.`, value);
  else for (const [index, element] of value.entries()) addValue(flat, `${path}[${index}]`, element);
}

/** Counts on from the last number that was given: a file may have one path a hundred thousand times. */
function addScalar({ values, times }: Flat, path: string, value: FlatValue): void {
  let free = path;
  while (values.has(free)) {
    const next = (times.get(path) ?? 1) + 1;
    times.set(path, next);
    free = `${path}#${next}`;
  }
  values.set(free, value);
}

function isStruct(value: DeviceStruct | readonly DeviceValue[]): value is DeviceStruct {
  return !Array.isArray(value);
}
