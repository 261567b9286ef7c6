import test from 'ava';
import * as fc from 'fast-check';

import { decodeDevice, type DecodedBody } from '../../../ts/stream/devices/decode-device.ts';
import { flattenDevice } from '../../../ts/stream/devices/flatten-device.ts';
import { structModel } from './arbitraries.ts';
import { describeStruct, encodeStruct, type StructModel, type ValueModel } from './device-model.ts';

function decode(bytes: Uint8Array, description: unknown): DecodedBody {
  return decodeDevice({ path: 'file', offset: 0, bytes: new Uint8Array(bytes) }, description, {
    values: 100_000,
  });
}

function u8(name: string): object {
  return { name, type: 'uint8', size: 1 };
}

test('a device becomes paths and values', (t) => {
  const u16 = { type: 'uint16', size: 2 };
  const segment = {
    vmsd_name: 'segment',
    version: 1,
    fields: [
      { name: 'base', ...u16 },
      { name: 'flags', ...u16 },
    ],
  };
  const description = {
    vmsd_name: 'cpu',
    version: 1,
    fields: [
      { name: 'regs', array_len: 2, ...u16 },
      { name: 'segs', array_len: 2, type: 'struct', size: 4, struct: segment },
      { name: 'unused', type: 'unused_buffer', size: 1 },
      { name: 'unused', type: 'unused_buffer', size: 1 },
    ],
    subsections: [{ vmsd_name: 'cpu/more', version: 1, fields: [{ name: 'flag', type: 'bool', size: 1 }] }],
  };
  const body = Buffer.concat([
    Buffer.from('0001000200030004000500060708', 'hex'),
    Buffer.from([5, 8]),
    Buffer.from('cpu/more'),
    Buffer.from('0000000101', 'hex'),
  ]);
  t.deepEqual(flattenDevice(decode(body, description)), [
    ['regs[0]', 1],
    ['regs[1]', 2],
    ['segs[0].base', 3],
    ['segs[0].flags', 4],
    ['segs[1].base', 5],
    ['segs[1].flags', 6],
    ['unused', Uint8Array.of(7)],
    ['unused#2', Uint8Array.of(8)],
    ['cpu/more:flag', true],
  ]);
});

test('a path that is there already gets a number, whatever made it', (t) => {
  const channel = { vmsd_name: 'channel', version: 1, fields: [u8('next')] };
  const description = {
    vmsd_name: 'i8254',
    version: 1,
    fields: [
      { name: 'channels', array_len: 2, type: 'struct', size: 1, struct: channel },
      u8('channels[0].next#2'),
      u8('channels[0].next'),
      u8('channels[0].next'),
      u8('channels[1].next'),
    ],
  };
  t.deepEqual(flattenDevice(decode(Uint8Array.of(1, 2, 3, 4, 5, 6), description)), [
    ['channels[0].next', 1],
    ['channels[1].next', 2],
    ['channels[0].next#2', 3],
    ['channels[0].next#3', 4],
    ['channels[0].next#2#2', 5],
    ['channels[1].next#2', 6],
  ]);
});

test('a path that is there a hundred thousand times does not take a hundred thousand times as long', (t) => {
  const subsection = {
    vmsdName: 'more',
    version: 1,
    fields: [{ name: 'flag', type: 'bool', offset: 0, size: 1, value: true }],
    subsections: [],
  };
  const device = {
    ...subsection,
    fields: [],
    subsections: Array.from({ length: 100_000 }, () => subsection),
  };
  const startedAt = performance.now();
  const paths = new Set(flattenDevice(device).map(([path]) => path));
  t.is(paths.size, 100_000);
  t.true(paths.has('more:flag#100000'));
  t.true(performance.now() - startedAt < 10_000);
});

test('every value is reached by a path of its own, whatever the device', (t) => {
  fc.assert(
    fc.property(structModel, (model) => {
      const flat = flattenDevice(decode(encodeStruct(model), describeStruct(model)));
      t.is(flat.length, countValues(model));
      t.is(new Map(flat).size, flat.length);
      t.true(
        flat.every(([, value]) => typeof value !== 'object' || value === null || value instanceof Uint8Array),
      );
    }),
    { numRuns: 200 },
  );
});

/** The number of values. An array of `uint8` is one value; an array whose elements take no bytes is none. */
function countValues({ fields, subsections }: StructModel): number {
  const own = fields.reduce((sum, { value }) => sum + countOf(value), 0);
  return subsections.reduce((sum, subsection) => sum + countValues(subsection), own);
}

function countOf(value: ValueModel): number {
  if (value.kind === 'scalar' || value.kind === 'bytes') return 1;
  if (value.kind === 'struct') return countValues(value.struct);
  const { kind, elements } = value;
  if (elements.length === 0) return 0;
  if (elements.every((element) => element.kind === 'scalar' && element.type === 'uint8')) return 1;
  const empty = elements.every(
    (element) => element.kind === 'struct' && encodeStruct(element.struct).length === 0,
  );
  if (kind === 'compressed' && empty) return 0;
  return elements.reduce((sum, element) => sum + countOf(element), 0);
}
