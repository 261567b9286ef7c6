import { isRecord, type VmdescriptionDevice } from './vmdescription.ts';

/** The deepest nesting that is measured; QEMU nests five or six deep. */
const MAX_DEPTH = 32;

/** Bytes of a subsection beside its name and fields: type byte, length byte of the name, be32 version. */
const SUBSECTION_OVERHEAD = 6;

const encoder = new TextEncoder();

/**
 * Measures a device's section body in bytes: its fields and, nested, the subsections that were written (docs/format.md
 * §1.5). Undefined when the description is not of the expected shape.
 *
 * A field's own `size` counts: QEMU measured it while writing, so `struct` need not be followed.
 */
export function deviceBodyLength(device: VmdescriptionDevice): number | undefined {
  return stateLength(device, 0);
}

function stateLength(state: unknown, depth: number): number | undefined {
  if (!isRecord(state) || depth > MAX_DEPTH) return undefined;
  const fields = sum(state['fields'], fieldLength);
  const subsections = sum(state['subsections'], (subsection) => subsectionLength(subsection, depth + 1));
  return add(fields, subsections);
}

function fieldLength(field: unknown): number | undefined {
  if (!isRecord(field)) return undefined;
  const size = count(field['size']);
  const times = field['array_len'] === undefined ? 1 : count(field['array_len']);
  if (size === undefined || times === undefined) return undefined;
  return count(size * times);
}

function subsectionLength(subsection: unknown, depth: number): number | undefined {
  if (!isRecord(subsection)) return undefined;
  const name = subsection['vmsd_name'];
  if (typeof name !== 'string') return undefined;
  return add(SUBSECTION_OVERHEAD + encoder.encode(name).length, stateLength(subsection, depth));
}

function sum(list: unknown, lengthOf: (entry: unknown) => number | undefined): number | undefined {
  if (list === undefined) return 0;
  if (!Array.isArray(list)) return undefined;
  let total: number | undefined = 0;
  for (const entry of list) total = add(total, lengthOf(entry));
  return total;
}

function add(left: number | undefined, right: number | undefined): number | undefined {
  return left === undefined || right === undefined ? undefined : count(left + right);
}

/** Checks a size or number of things out of JSON; undefined when it is none. */
export function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
