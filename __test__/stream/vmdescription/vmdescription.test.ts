import test from 'ava';

import { readStreamIndex, walkStream } from '../../../ts/stream/index.ts';
import { encodeVmdescription } from '../../../ts/stream/section.ts';
import { rewriteVmdescription } from '../../../ts/stream/vmdescription/rewrite-vmdescription.ts';
import { model, timer } from '../broken-streams.ts';
import { buildStream, describe, type StreamModel } from '../../support/stream-builder.ts';
import { collect, StrictReader } from '../strict-reader.ts';

const MIB = 1024 * 1024;
const bare: StreamModel = { ...model, vmdescription: false };

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** The stream of `model` with another vmdescription record. */
function withDescription(description: unknown, devices = [timer]): Uint8Array {
  const { bytes } = buildStream({ ...bare, devices });
  return concat(bytes, encodeVmdescription(utf8(JSON.stringify(description))));
}

test('sections out of the order of their descriptions are found by name and instance', async (t) => {
  const second = { ...timer, instanceId: 1, fields: [{ size: 3 }] };
  const other = { ...timer, idstr: 'other', fields: [{ size: 100 }] };
  const devices = [describe(other), describe(second), describe(timer)];
  const index = await readStreamIndex(new StrictReader(withDescription({ devices }, [timer, other, second])));
  t.is(index.problem, undefined);
  t.deepEqual(
    index.sections.map(({ idstr, bodyLength }) => [idstr, bodyLength]),
    [
      ['timer', 20],
      ['other', 100],
      ['timer', 3],
    ],
  );
});

test('a description serves one section only', async (t) => {
  const bytes = withDescription({ devices: [describe(timer)] }, [timer, timer]);
  const index = await readStreamIndex(new StrictReader(bytes));
  t.is(index.sections.length, 1);
  t.regex(index.problem?.message ?? '', /does not describe section timer\/0/);
});

test('a list of devices with something else in it is no vmdescription', async (t) => {
  for (const odd of [
    null,
    7,
    {},
    { name: 'x' },
    { name: 'x', instance_id: 0.5 },
    { name: 5, instance_id: 0 },
  ]) {
    const index = await readStreamIndex(
      new StrictReader(withDescription({ devices: [describe(timer), odd] })),
    );
    t.is(index.problem?.code, 'ERR_MAPPED_RAM_INCOMPLETE', JSON.stringify(odd));
  }
});

test('old-style devices, with one data field and a size of their own, are measured by the field', async (t) => {
  const device = {
    name: 'timer',
    instance_id: 0,
    size: 20,
    fields: [{ name: 'data', type: 'buffer', size: 20 }],
  };
  const index = await readStreamIndex(new StrictReader(withDescription({ devices: [device] })));
  t.true(index.complete);
});

test('what a struct is made of does not count beside its size', async (t) => {
  const struct = { vmsd_name: 's', fields: [{ name: 'x', type: 'uint8', size: 1 }] };
  const fields = [{ name: 's', type: 'struct', struct, array_len: 2, size: 10 }];
  const index = await readStreamIndex(
    new StrictReader(withDescription({ devices: [{ ...describe(timer), fields }] })),
  );
  t.true(index.complete);
});

for (const [what, state] of [
  ['a negative size', { fields: [{ size: -1 }, { size: 21 }] }],
  ['a size that is no number', { fields: [{ size: '20' }] }],
  ['a field that is no object', { fields: [20] }],
  ['fields that are no list', { fields: { size: 20 } }],
  ['a length beyond 2^53', { fields: [{ size: 2 ** 52, array_len: 4 }] }],
  ['a subsection without a name', { fields: [{ size: 20 }], subsections: [{ fields: [] }] }],
] as const) {
  test(`a description with ${what} is of no use`, async (t) => {
    const bytes = withDescription({ devices: [{ name: 'timer', instance_id: 0, ...state }] });
    const index = await readStreamIndex(new StrictReader(bytes));
    t.is(index.problem?.code, 'ERR_MAPPED_RAM_CORRUPT');
    t.regex(index.problem?.message ?? '', /does not describe section timer\/0/);
  });
}

test('subsections nested without end are of no use', async (t) => {
  // The text nests far deeper than JSON.stringify goes; JSON.parse takes it.
  const [open, close] = ['{"vmsd_name":"x","subsections":[', ']}'];
  const nested = `${open.repeat(50_000)}${close.repeat(50_000)}`;
  const json = utf8(`{"devices":[{"name":"timer","instance_id":0,"subsections":[${nested}]}]}`);
  const bytes = concat(buildStream(bare).bytes, encodeVmdescription(json));
  const index = await readStreamIndex(new StrictReader(bytes));
  t.regex(index.problem?.message ?? '', /does not describe section timer\/0/);
});

test('a described body that reaches into the vmdescription is refused', async (t) => {
  const bytes = withDescription({ devices: [{ ...describe(timer), fields: [{ size: 30 }] }] });
  const index = await readStreamIndex(new StrictReader(bytes));
  t.regex(index.problem?.message ?? '', /body of section timer\/0/);
  t.is(index.problem?.found, 30);
});

test('without a vmdescription everything from the first device section on is opaque', async (t) => {
  const { bytes, records } = buildStream(bare);
  const device = records.find((record) => record.type === 'section' && record.kind === 'full');
  const walked = await collect(walkStream(new StrictReader(bytes)));
  const last = walked.at(-1);
  t.is(last?.type, 'opaque');
  t.is(last?.offset, device?.offset);
  t.is((last?.offset ?? 0) + (last?.length ?? 0), bytes.length);
  const index = await readStreamIndex(new StrictReader(bytes));
  t.false(index.complete);
  t.is(index.problem?.code, 'ERR_MAPPED_RAM_INCOMPLETE');
  t.is(index.ram?.blocks.length, 2);
});

test('a stream without devices needs no vmdescription', async (t) => {
  const { bytes } = buildStream({ ...bare, devices: [] });
  const index = await readStreamIndex(new StrictReader(bytes));
  t.true(index.complete);
  t.is(index.vmdescription, undefined);
});

test('a vmdescription that is not JSON is a record all the same', async (t) => {
  const { bytes } = buildStream({ ...bare, devices: [] });
  const index = await readStreamIndex(
    new StrictReader(concat(bytes, encodeVmdescription(utf8('{"devices":[')))),
  );
  t.true(index.complete);
  t.is(index.vmdescription?.jsonLength, 12);
  t.is(index.vmdescription?.json, undefined);
});

test('bytes behind the stream hide neither its vmdescription nor themselves', async (t) => {
  const { bytes } = buildStream(model);
  for (const length of [1, 65_535, 65_536, 65_537, 200_000]) {
    const index = await readStreamIndex(new StrictReader(bytes, bytes.length + length));
    t.is(index.problem, undefined, `${length} bytes`);
    t.deepEqual(index.trailing, { offset: bytes.length, length });
  }
});

test('a vmdescription is found wherever it meets the pieces that the tail is read in', async (t) => {
  for (let length = 65_536 - 40; length < 65_536 + 40; length += 1) {
    const { bytes } = buildStream({ ...bare, devices: [timer] });
    const json = JSON.stringify({ devices: [describe(timer)] });
    const padded = encodeVmdescription(utf8(`${json.slice(0, -1)}${' '.repeat(length - json.length)}}`));
    const index = await readStreamIndex(new StrictReader(concat(bytes, padded)));
    t.true(index.complete, `${length} bytes of JSON`);
  }
});

test('a vmdescription far in front of the end of the file is found from the front', async (t) => {
  for (const capabilities of [['mapped-ram'], []]) {
    const { bytes } = buildStream({ ...model, configuration: { machine: 'q35', capabilities } });
    const index = await readStreamIndex(new StrictReader(bytes, bytes.length + 20 * MIB));
    t.is(index.problem, undefined);
    t.is(index.trailing?.length, 20 * MIB);
  }
});

test('guest memory that looks like a vmdescription is not taken for one', async (t) => {
  // An early section and guest memory come before more bytes than are searched for a vmdescription from the end.
  const configuration = { machine: 'q35', capabilities: [] };
  const { bytes } = buildStream({ ...bare, configuration, early: [timer], devices: [], parts: [] });
  const forged = encodeVmdescription(utf8(JSON.stringify({ devices: [describe(timer)] })));
  const stream = concat(bytes, forged);
  const index = await readStreamIndex(new StrictReader(stream, stream.length + 20 * MIB));
  t.is(index.problem?.code, 'ERR_MAPPED_RAM_INCOMPLETE');
  t.is(index.sections.length, 0);
});

test('only what follows an EOF byte is a vmdescription', async (t) => {
  const { bytes } = buildStream(model);
  const forged = encodeVmdescription(utf8(JSON.stringify({ devices: [] })));
  const index = await readStreamIndex(new StrictReader(concat(bytes, Uint8Array.of(1), forged)));
  t.true(index.complete);
});

test('sections that only a vmdescription elsewhere can measure are listed, but the stream is not whole', async (t) => {
  const { bytes } = buildStream(bare);
  const record = encodeVmdescription(utf8(JSON.stringify({ devices: [describe(timer)] })));
  // The record stands behind another EOF, and behind a record that is no JSON. A candidate must follow a zero byte.
  for (const between of [Uint8Array.of(0), concat(encodeVmdescription(utf8('{{}')), Uint8Array.of(0))]) {
    const index = await readStreamIndex(new StrictReader(concat(bytes, between, record)));
    t.deepEqual(
      index.sections.map(({ idstr }) => idstr),
      ['timer'],
    );
    t.is(index.eofOffset, bytes.length - 1);
    t.false(index.complete);
    t.like(index.problem, {
      code: 'ERR_MAPPED_RAM_CORRUPT',
      path: 'strict',
      offset: bytes.length,
      expected: bytes.length,
      found: bytes.length + between.length,
    });
  }
});

test('of two vmdescriptions the last one counts, and only one that can be one', async (t) => {
  const wrong = encodeVmdescription(utf8(JSON.stringify({ devices: [] })));
  const lookalike = concat(Uint8Array.of(0), encodeVmdescription(utf8('{}')));
  const { bytes } = buildStream({ ...model, devices: [{ ...timer, fields: [{ size: wrong.length + 1 }] }] });
  const device = (await readStreamIndex(new StrictReader(bytes))).sections[0];
  // Device state may hold anything.
  bytes.set(concat(Uint8Array.of(0), wrong), device?.bodyOffset ?? 0);
  t.true((await readStreamIndex(new StrictReader(bytes))).complete);
  const index = await readStreamIndex(new StrictReader(concat(bytes, lookalike)));
  t.true(index.complete);
  t.is(index.trailing?.length, lookalike.length);
});

const q35 =
  '{"configuration": {"vmsd_name": "configuration", "version": 1, "fields": [{"name": "len", "type": "uint32", "size": 4}, {"name": "name", "type": "buffer", "size": 11}]}, "page_size": 4096, "devices": []}';
const q35Mapped =
  '{"configuration": {"vmsd_name": "configuration", "version": 1, "fields": [{"name": "len", "type": "uint32", "size": 4}, {"name": "name", "type": "buffer", "size": 11}], "subsections": [{"vmsd_name": "configuration/capabilities", "version": 1, "fields": [{"name": "caps_count", "type": "uint32", "size": 4}, {"name": "capabilities", "type": "capability", "size": 11}]}]}, "page_size": 4096, "devices": []}';

function rewritten(json: string, ...capabilities: readonly string[]): string {
  return new TextDecoder().decode(rewriteVmdescription(utf8(json), capabilities));
}

test('a vmdescription follows the capabilities, written as QEMU 10.0.2 writes it', (t) => {
  t.is(rewritten(q35, 'mapped-ram'), q35Mapped);
  t.is(rewritten(q35Mapped), q35);
  t.is(rewritten(q35Mapped, 'mapped-ram'), q35Mapped);
  t.is(rewritten(q35Mapped, 'x-ignore-shared'), q35Mapped.replace('"size": 11}]}]}', '"size": 16}]}]}'));
  t.is(
    rewritten(q35, 'x-ignore-shared', 'mapped-ram'),
    q35Mapped.replace(
      '"capabilities", "type": "capability", "size": 11',
      '"capabilities", "array_len": 2, "type": "capability", "size": 16',
    ),
  );
});

test('other subsections of CONFIGURATION stay, in their order', (t) => {
  const bits = '{"vmsd_name": "configuration/target-page-bits", "version": 1}';
  const uuid = '{"vmsd_name": "configuration/uuid", "version": 1}';
  const before = `{"configuration": {"subsections": [${bits}, ${uuid}]}, "devices": []}`;
  const names = [...rewritten(before, 'mapped-ram').matchAll(/"vmsd_name": "(.*?)"/g)].map(
    ([, name]) => name,
  );
  t.deepEqual(names, ['configuration/target-page-bits', 'configuration/capabilities', 'configuration/uuid']);
  t.is(rewritten(rewritten(before, 'mapped-ram')), before);
});

test('every byte outside of the configuration entry stays as it is', (t) => {
  const front = '{ "a\\"{": [1.0, {"configuration": 3}],\n"b" : "}" , "configuration"';
  const back = ' ,"big": 123456789012345678901234567890, "devices": [] }\n';
  t.is(rewritten(`${front}: {"version": 1}${back}`), `${front}: {"version": 1}${back}`);
  t.true(
    rewritten(`${front}: {"version":1}${back}`, 'mapped-ram').startsWith(`${front}: {"version": 1, "sub`),
  );
  t.true(rewritten(`${front}: {"version":1}${back}`, 'mapped-ram').endsWith(`]}${back}`));
});

test('a vmdescription without configuration (QEMU before 8.2), or none at all, stays as it is', (t) => {
  for (const text of [
    '{"page_size": 4096, "devices": []}',
    '{"configuration": 7}',
    '[]',
    '{"conf',
    '',
    '7',
  ]) {
    t.is(rewritten(text, 'mapped-ram'), text);
  }
  const deep = `{"configuration": {"x": ${'['.repeat(100_000)}${']'.repeat(100_000)}}}`;
  t.is(rewritten(deep, 'mapped-ram'), deep);
});
