import type { DeviceField, DeviceValue } from './device-state.ts';

/** A field from one entry of a description. */
interface FieldEntry {
  readonly field: DeviceField;
  /** The entry's `index`: it is this element of an array whose elements are described one by one. */
  readonly index: number | undefined;
  /** True when the entry has `array_len`: its value is several elements. */
  readonly several: boolean;
}

interface Pending {
  readonly first: DeviceField;
  type: string;
  size: number;
  /** The elements of an array that may go on. */
  elements: DeviceValue[] | undefined;
  byIndex: boolean;
  lastType: string;
}

/**
 * The fields of a struct, with arrays put together (docs/format.md §1.6). QEMU describes elements that differ by one
 * entry each, all of them of one name. Every entry has its `index`, but in QEMU 10.0 the last has none. Runs of
 * elements that QEMU has none for have entries of their own, of type `nullptr`.
 */
export class FieldList {
  readonly #fields: DeviceField[] = [];
  #pending: Pending | undefined;

  add({ field, index, several }: FieldEntry): void {
    const pending = this.#pending;
    if (pending !== undefined && continues(pending, field, index, several)) {
      const elements = (pending.elements ??= elementsOf(pending.first.value));
      if (several) for (const element of elementsOf(field.value)) elements.push(element);
      else elements.push(field.value);
      pending.size += field.size;
      pending.byIndex = index !== undefined;
      pending.lastType = field.type;
      if (field.type !== 'nullptr') pending.type = field.type;
      return;
    }
    this.#flush();
    this.#pending = {
      first: field,
      type: field.type,
      size: field.size,
      elements: index === undefined ? undefined : [field.value],
      byIndex: index !== undefined,
      lastType: field.type,
    };
  }

  finish(): readonly DeviceField[] {
    this.#flush();
    return this.#fields;
  }

  #flush(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    const { first, elements, type, size } = pending;
    if (elements === undefined) this.#fields.push(first);
    else this.#fields.push({ ...first, type, size, value: arrayValue(type, elements) });
  }
}

function continues(
  { first, elements, byIndex, lastType }: Pending,
  field: DeviceField,
  index: number | undefined,
  several: boolean,
): boolean {
  if (field.name !== first.name) return false;
  if (index !== undefined) return index > 0 && index === (elements ?? elementsOf(first.value)).length;
  if (byIndex && !several) return true;
  return (lastType === 'nullptr') !== (field.type === 'nullptr');
}

/** The elements of a value. A value that is no array may be the first of one, alone in its entry. */
function elementsOf(value: DeviceValue): DeviceValue[] {
  return Array.isArray(value) ? [...value] : [value];
}

/** The value of an array. An array of `uint8` is bytes, however it was described. */
function arrayValue(type: string, elements: readonly DeviceValue[]): DeviceValue {
  if (type !== 'uint8') return elements;
  const numbers = elements.filter((element) => typeof element === 'number');
  return numbers.length === elements.length ? Uint8Array.from(numbers) : elements;
}
