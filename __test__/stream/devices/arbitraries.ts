import * as fc from 'fast-check';

import { INTEGERS, integerType, type FieldModel, type StructModel, type ValueModel } from './device-model.ts';

const INTEGER_TYPES = Object.keys(INTEGERS);

function integer(type: string): fc.Arbitrary<ValueModel> {
  const [size, signed] = integerType(type);
  const bits = BigInt(size * 8);
  const range = signed
    ? { min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n }
    : { min: 0n, max: 2n ** bits - 1n };
  return fc.bigInt(range).map((value) => ({ kind: 'scalar', type, value }));
}

const bool: fc.Arbitrary<ValueModel> = fc.boolean().map((value) => ({ kind: 'scalar', type: 'bool', value }));
const none: ValueModel = { kind: 'scalar', type: 'nullptr', value: null };
const nullptr: fc.Arbitrary<ValueModel> = fc.constant(none);
const bytes: fc.Arbitrary<ValueModel> = fc.record({
  kind: fc.constant('bytes'),
  type: fc.constantFrom('buffer', 'unused_buffer', 'pci config', 'a type of the future'),
  bytes: fc.uint8Array({ maxLength: 20 }),
});

const name: fc.Arbitrary<string> = fc.stringMatching(/^[a-z][a-z0-9_.é[\]]{0,8}$/u);

const EMPTY: fc.Arbitrary<StructModel> = fc.constant({
  vmsdName: '',
  version: 0,
  fields: [],
  subsections: [],
});

/** Structs of one shape: with the same names and types, and other values. */
function structShape(depth: number): fc.Arbitrary<fc.Arbitrary<StructModel>> {
  return fc
    .record({
      vmsdName: name,
      version: fc.nat({ max: 99 }),
      fields: fc.array(fc.tuple(name, valueShape(depth)), { maxLength: 4 }),
      subsections: fc.array(depth > 0 ? structShape(depth - 1) : fc.constant(EMPTY), {
        maxLength: depth > 0 ? 2 : 0,
      }),
    })
    .map(({ vmsdName, version, fields, subsections }) =>
      fc.record({
        vmsdName: fc.constant(vmsdName),
        version: fc.constant(version),
        // The names have numbers: fields of one name would be an array.
        fields: fc.tuple(
          ...fields.map(([own, shape], index) =>
            shape.map((value): FieldModel => ({ name: `${own}_${index}`, value })),
          ),
        ),
        subsections: fc.tuple(...subsections),
      }),
    );
}

function valueShape(depth: number): fc.Arbitrary<fc.Arbitrary<ValueModel>> {
  const leaf = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...INTEGER_TYPES).map((type) => integer(type)) },
    { weight: 1, arbitrary: fc.constant(bool) },
    { weight: 1, arbitrary: fc.constant(nullptr) },
  );
  const whole = fc.oneof(
    { weight: 3, arbitrary: leaf },
    { weight: 1, arbitrary: bytes.map((value) => fc.constant(value)) },
  );
  if (depth === 0) return whole;
  const struct = fc
    .tuple(structShape(depth - 1), fc.boolean())
    .map(([shape, inline]) => shape.map((value): ValueModel => ({ kind: 'struct', inline, struct: value })));
  const element = fc.oneof(leaf, struct);
  const compressed = fc
    .tuple(element, fc.nat({ max: 5 }))
    .map(([shape, times]) =>
      fc
        .array(shape, { minLength: times, maxLength: times })
        .map((elements): ValueModel => ({ kind: 'compressed', elements })),
    );
  // Elements have one type, but for null pointers. Structs differ in their fields.
  const one = fc.oneof(leaf, struct);
  const unlike = fc
    .tuple(
      fc.oneof(
        fc.array(struct, { minLength: 2, maxLength: 4 }),
        one.map((shape) => [shape, shape, shape]),
      ),
      fc.nat(),
    )
    .map(([shapes, seed]) => shapes.map((shape, index) => (seed % 7 === index ? fc.constant(none) : shape)));
  const indexed = fc
    .tuple(unlike, fc.boolean())
    .map(([shapes, lastIndex]) =>
      fc.tuple(...shapes).map((elements): ValueModel => ({ kind: 'indexed', elements, lastIndex })),
    );
  return fc.oneof(
    { weight: 4, arbitrary: whole },
    { weight: 1, arbitrary: struct },
    { weight: 1, arbitrary: compressed },
    { weight: 1, arbitrary: indexed },
  );
}

export const structModel: fc.Arbitrary<StructModel> = structShape(3).chain((shape) => shape);
