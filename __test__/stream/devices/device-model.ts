import type { DeviceStruct, DeviceValue } from '../../../ts/stream/devices/device-state.ts';

/** A struct that a test makes up: the source of its description, of its bytes and of their meaning. */
export interface StructModel {
  readonly vmsdName: string;
  readonly version: number;
  readonly fields: readonly FieldModel[];
  readonly subsections: readonly StructModel[];
}

export interface FieldModel {
  readonly name: string;
  readonly value: ValueModel;
}

export type ValueModel =
  | { readonly kind: 'scalar'; readonly type: string; readonly value: bigint | boolean | null }
  | { readonly kind: 'bytes'; readonly type: string; readonly bytes: Uint8Array }
  | { readonly kind: 'struct'; readonly inline: boolean; readonly struct: StructModel }
  /** An array that is described once, with `array_len`. All elements are alike. */
  | { readonly kind: 'compressed'; readonly elements: readonly ValueModel[] }
  /** An array whose elements are described one by one. QEMU 10.0 describes them with `lastIndex` false. */
  | { readonly kind: 'indexed'; readonly elements: readonly ValueModel[]; readonly lastIndex: boolean };

/** The size in bytes of each type that holds one number, and whether it is signed. */
export const INTEGERS: Readonly<Record<string, readonly [size: number, signed: boolean]>> = {
  int8: [1, true],
  int16: [2, true],
  int32: [4, true],
  int64: [8, true],
  uint8: [1, false],
  uint16: [2, false],
  uint32: [4, false],
  uint64: [8, false],
  'int32 equal': [4, true],
  'int32 le': [4, true],
  'uint8 equal': [1, false],
  'uint16 equal': [2, false],
  'uint32 equal': [4, false],
  'int64 equal': [8, false],
  timer: [8, true],
  cpsr: [4, false],
};

export function integerType(type: string): readonly [size: number, signed: boolean] {
  const known = INTEGERS[type];
  if (known === undefined) throw new Error(`no integer type ${type}`);
  return known;
}

/** The bytes that QEMU would write for a struct. */
export function encodeStruct(struct: StructModel): Buffer {
  const fields = struct.fields.map(({ value }) => encodeValue(value));
  const subsections = struct.subsections.map((subsection) => {
    const own = Buffer.from(subsection.vmsdName);
    const version = Buffer.alloc(4);
    version.writeUInt32BE(subsection.version);
    return Buffer.concat([Buffer.from([5, own.length]), own, version, encodeStruct(subsection)]);
  });
  return Buffer.concat([...fields, ...subsections]);
}

function encodeValue(value: ValueModel): Buffer {
  if (value.kind === 'bytes') return Buffer.from(value.bytes);
  if (value.kind === 'struct') return encodeStruct(value.struct);
  if (value.kind !== 'scalar') return Buffer.concat(value.elements.map((element) => encodeValue(element)));
  if (typeof value.value === 'boolean') return Buffer.from([value.value ? 1 : 0]);
  if (value.value === null) return Buffer.from('0');
  const [size] = integerType(value.type);
  const digits = BigInt.asUintN(size * 8, value.value)
    .toString(16)
    .padStart(size * 2, '0');
  return Buffer.from(digits, 'hex');
}

type Json = Readonly<Record<string, unknown>>;

/** The vmdescription's entry for a struct. */
export function describeStruct(struct: StructModel): Json {
  const { vmsdName, version, fields, subsections } = struct;
  return {
    vmsd_name: vmsdName,
    version,
    fields: fields.flatMap((field) => describeField(field)),
    ...(subsections.length > 0 ? { subsections: subsections.map((each) => describeStruct(each)) } : {}),
  };
}

function describeField({ name: own, value }: FieldModel): readonly Json[] {
  if (value.kind === 'compressed') {
    const [first] = value.elements;
    // The vmdescription has nothing of an array without elements.
    return first === undefined
      ? []
      : [{ name: own, array_len: value.elements.length, ...describeValue(first) }];
  }
  if (value.kind !== 'indexed') return [{ name: own, ...describeValue(value) }];
  return value.elements.map((element, index) => {
    const last = index === value.elements.length - 1;
    return { name: own, ...(last && !value.lastIndex ? {} : { index }), ...describeValue(element) };
  });
}

function describeValue(value: ValueModel): Json {
  const size = encodeValue(value).length;
  if (value.kind === 'struct') {
    const description = describeStruct(value.struct);
    return value.inline
      ? { type: 'tmp', ...description, size }
      : { type: 'struct', struct: description, size };
  }
  if (value.kind === 'scalar' || value.kind === 'bytes') return { type: value.type, size };
  throw new Error('an array is described by its elements');
}

/** The struct that decoding must give, without the places of fields. */
export function expectedStruct({ vmsdName, version, fields, subsections }: StructModel): object {
  return {
    vmsdName,
    version,
    fields: fields
      .filter(({ value }) => value.kind !== 'compressed' || value.elements.length > 0)
      .map(({ name: own, value }) => ({ name: own, value: expectedValue(value) })),
    subsections: subsections.map((each) => expectedStruct(each)),
  };
}

function expectedValue(value: ValueModel): unknown {
  if (value.kind === 'bytes') return hex(value.bytes);
  if (value.kind === 'struct') return expectedStruct(value.struct);
  if (value.kind === 'scalar') {
    if (typeof value.value !== 'bigint') return value.value;
    return integerType(value.type)[0] === 8 ? value.value : Number(value.value);
  }
  const { kind, elements } = value;
  // Decoding leaves out elements that take no bytes.
  if (kind === 'compressed' && encodeValue(value).length === 0) return [];
  const octets = elements.every((element) => element.kind === 'scalar' && element.type === 'uint8');
  return octets ? hex(encodeValue(value)) : elements.map((element) => expectedValue(element));
}

function hex(octets: Uint8Array): string {
  return `0x${Buffer.from(octets).toString('hex')}`;
}

/** A decoded struct in the form of `expectedStruct`. */
export function withoutPlaces({ vmsdName, version, fields, subsections }: DeviceStruct): object {
  return {
    vmsdName,
    version,
    fields: fields.map(({ name: own, value }) => ({ name: own, value: plainValue(value) })),
    subsections: subsections.map((each) => withoutPlaces(each)),
  };
}

function plainValue(value: DeviceValue): unknown {
  if (value instanceof Uint8Array) return hex(value);
  if (typeof value !== 'object' || value === null) return value;
  return 'fields' in value ? withoutPlaces(value) : value.map((element) => plainValue(element));
}
