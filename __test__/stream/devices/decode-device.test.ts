import test from 'ava';
import * as fc from 'fast-check';

import { decodeDevice, type DecodedBody } from '../../../ts/stream/devices/decode-device.ts';
import type { DeviceStruct, DeviceValue } from '../../../ts/stream/devices/device-state.ts';
import { structModel } from './arbitraries.ts';
import { describeStruct, encodeStruct, expectedStruct, withoutPlaces } from './device-model.ts';

const OFFSET = 1000;
const VALUES = 100_000;

function decode(bytes: Uint8Array, description: unknown, values = VALUES): DecodedBody {
  return decodeDevice({ path: 'file', offset: OFFSET, bytes: new Uint8Array(bytes) }, description, {
    values,
  });
}

function fields(...entries: readonly object[]): object {
  return { vmsd_name: 'device', version: 3, fields: entries };
}

const u32 = { name: 'word', type: 'uint32', size: 4 };
const pair = { vmsd_name: 'pair', version: 1, fields: [u32, { ...u32, name: 'other' }] };

test('what is described and encoded is decoded, value by value', (t) => {
  fc.assert(
    fc.property(structModel, (model) => {
      const decoded = decode(encodeStruct(model), describeStruct(model));
      t.deepEqual(withoutPlaces(decoded), expectedStruct(model));
      t.is(decoded.rest, undefined);
      t.is(decoded.problem, undefined);
    }),
    { numRuns: 400 },
  );
});

test('every field knows where its bytes are', (t) => {
  fc.assert(
    fc.property(structModel, (model) => {
      const decoded = decode(encodeStruct(model), describeStruct(model));
      const end = assertContiguous(decoded, OFFSET, (actual, expected) => t.is(actual, expected));
      t.is(end, OFFSET + encodeStruct(model).length);
    }),
    { numRuns: 200 },
  );
});

/** Asserts that a struct's fields and subsections follow each other. @returns the place behind the struct */
function assertContiguous(
  struct: DeviceStruct,
  start: number,
  is: (actual: number, expected: number) => void,
): number {
  let at = start;
  for (const { offset, size } of struct.fields) {
    is(offset, at);
    at += size;
  }
  for (const subsection of struct.subsections)
    at = assertContiguous(subsection, at + 6 + Buffer.byteLength(subsection.vmsdName), is);
  return at;
}

test('a body that is cut off or longer is decoded as far as it goes, and the rest is said and given', (t) => {
  fc.assert(
    fc.property(structModel, fc.nat(), fc.nat({ max: 9 }), (model, cut, more) => {
      const whole = encodeStruct(model);
      const length = whole.length === 0 ? 0 : cut % whole.length;
      const short = decode(whole.subarray(0, length), describeStruct(model));
      if (length < whole.length) t.is(short.problem?.code, 'ERR_MAPPED_RAM_CORRUPT');
      const long = decode(Buffer.concat([whole, Buffer.alloc(more, 0xa5)]), describeStruct(model));
      t.is(long.rest?.length, more === 0 ? undefined : more);
      t.is(long.problem === undefined, more === 0);
    }),
    { numRuns: 200 },
  );
});

test('any bytes and any JSON are taken without a throw', (t) => {
  const entry = fc.record(
    {
      name: fc.oneof(fc.constantFrom('a', 'b'), fc.jsonValue()),
      type: fc.oneof(fc.constantFrom('uint8', 'struct', 'buffer', 'nullptr'), fc.jsonValue()),
      size: fc.oneof(fc.nat({ max: 9 }), fc.jsonValue()),
      array_len: fc.oneof(fc.nat({ max: 9 }), fc.jsonValue()),
      index: fc.oneof(fc.nat({ max: 2 }), fc.jsonValue()),
      struct: fc.jsonValue(),
      fields: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  const description = fc.record(
    {
      vmsd_name: fc.jsonValue(),
      version: fc.jsonValue(),
      fields: fc.array(entry),
      subsections: fc.array(entry),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(description, fc.jsonValue()), fc.uint8Array({ maxLength: 40 }), (json, bytes) => {
      const { problem, rest } = decode(bytes, json);
      t.is(problem === undefined && rest !== undefined, false);
    }),
    { numRuns: 1000 },
  );
});

test('64-bit integers keep every bit', (t) => {
  const { fields: found } = decode(
    Buffer.from('ffffffffffffffff'.repeat(2), 'hex'),
    fields({ name: 'u', type: 'uint64', size: 8 }, { name: 's', type: 'int64', size: 8 }),
  );
  t.deepEqual(
    found.map(({ value }) => value),
    [0xffff_ffff_ffff_ffffn, -1n],
  );
});

test('a value that its type does not have is given as bytes', (t) => {
  const description = fields(
    { name: 'flag', type: 'bool', size: 1 },
    { name: 'none', type: 'nullptr', size: 1 },
    { name: 'odd', type: 'uint32', size: 3 },
  );
  const { fields: found, problem } = decode(Buffer.from('0231010203', 'hex'), description);
  t.is(problem, undefined);
  t.deepEqual(
    found.map(({ value }) => value),
    [Uint8Array.of(2), Uint8Array.of(0x31), Uint8Array.of(1, 2, 3)],
  );
});

test('runs of null pointers are put together with the elements between them', (t) => {
  const element = { name: 'list', type: 'struct', size: 8, struct: pair };
  const none = { name: 'list', type: 'nullptr', size: 1 };
  const bytes = Buffer.from('000000010000000200000001000000023030000000030000000430', 'hex');
  for (const entries of [
    [{ ...element, array_len: 2 }, { ...none, array_len: 2 }, element, none],
    [
      { ...element, index: 0 },
      { ...element, index: 1 },
      { ...none, array_len: 2 },
      { ...element, index: 4 },
      none,
    ],
  ]) {
    const { fields: found, problem } = decode(bytes, fields(...entries));
    t.is(problem, undefined);
    t.is(found.length, 1);
    t.like(found[0], { name: 'list', type: 'struct', size: bytes.length });
    t.deepEqual(
      elements(found[0]?.value).map((value) => value === null),
      [false, false, true, true, false, true],
    );
  }
});

test('fields of one name that are no array stay apart', (t) => {
  const { fields: found } = decode(Buffer.alloc(8), fields(u32, u32));
  t.deepEqual(
    found.map(({ name, value }) => [name, value]),
    [
      ['word', 0],
      ['word', 0],
    ],
  );
});

test('a struct that does not fill its field is given as bytes, and what follows it is decoded', (t) => {
  const field = { name: 'pair', type: 'struct', size: 9, struct: pair };
  const { fields: found, problem, rest } = decode(Buffer.alloc(13, 7), fields(field, u32));
  t.deepEqual(found[0]?.value, new Uint8Array(9).fill(7));
  t.is(found[1]?.value, 0x07070707);
  t.is(rest, undefined);
  t.like(problem, {
    code: 'ERR_MAPPED_RAM_CORRUPT',
    path: 'file',
    offset: OFFSET + 8,
    expected: '9 bytes',
    found: 8,
  });
});

test('a subsection that is not where it is described ends the decoding', (t) => {
  const description = { ...fields(u32), subsections: [{ vmsd_name: 'sub', version: 2, fields: [u32] }] };
  const header = [5, 3, ...Buffer.from('sub'), 0, 0, 0, 2];
  const good = decode(Uint8Array.from([0, 0, 0, 1, ...header, 0, 0, 0, 9]), description);
  t.is(good.problem, undefined);
  t.is(good.subsections[0]?.fields[0]?.value, 9);
  for (const wrong of [0, 1, 2, 8]) {
    const bytes = Uint8Array.from([0, 0, 0, 1, ...header, 0, 0, 0, 9]);
    bytes[4 + wrong] = 0x66;
    const { fields: found, subsections, rest, problem } = decode(bytes, description);
    t.is(found[0]?.value, 1);
    t.deepEqual(subsections, []);
    t.deepEqual(rest, bytes.subarray(4));
    t.is(problem?.offset, OFFSET + 4);
  }
});

test('structs may nest 32 deep and no deeper', (t) => {
  const nested = (depth: number): object =>
    depth === 0 ? u32 : { name: 'in', type: 'struct', size: 4, struct: fields(nested(depth - 1)) };
  t.is(decode(Buffer.alloc(4), fields(nested(32))).problem, undefined);
  t.regex(decode(Buffer.alloc(4), fields(nested(33))).problem?.message ?? '', /nested too deep/);
});

test('lengths that lie allocate nothing', (t) => {
  const huge = Number.MAX_SAFE_INTEGER;
  for (const entry of [
    { name: 'x', type: 'uint16', size: 2, array_len: huge },
    { name: 'x', type: 'buffer', size: huge },
    { name: 'x', type: 'struct', size: huge, array_len: huge, struct: pair },
  ]) {
    const { problem, rest } = decode(Buffer.alloc(64), fields(entry));
    t.regex(problem?.message ?? '', /longer than what is left/);
    t.is(rest?.length, 64);
  }
  // Elements of no bytes fit in any number.
  const none = decode(new Uint8Array(), fields({ name: 'x', type: 'buffer', size: 0, array_len: huge }));
  t.deepEqual(none.fields[0]?.value, []);
  t.is(none.problem, undefined);
});

test('a description that makes many values out of few bytes is stopped', (t) => {
  const nothing = Array.from({ length: 1000 }, () => ({ name: 'x', type: 'buffer', size: 0 }));
  const element = { vmsd_name: 'e', version: 1, fields: [...nothing, { name: 'y', type: 'uint8', size: 1 }] };
  const field = { name: 'list', type: 'struct', size: 1, array_len: 1000, struct: element };
  const { problem, rest } = decode(Buffer.alloc(1000), fields(field));
  t.is(problem?.code, 'ERR_MAPPED_RAM_UNSUPPORTED');
  t.is(rest?.length, 1000);
});

function elements(value: DeviceValue | undefined): readonly DeviceValue[] {
  return Array.isArray(value) ? value : [];
}
