import test from 'ava';
import * as fc from 'fast-check';

import type { DeviceStates } from '../../../ts/stream/devices/device-state.ts';
import { deviceNamed, readDevices } from '../../../ts/stream/devices/read-devices.ts';
import { readStreamIndex, type RandomAccessReader } from '../../../ts/stream/index.ts';
import { encodeEof, encodeVmdescription } from '../../../ts/stream/section.ts';
import { StrictReader } from '../strict-reader.ts';
import { structModel } from './arbitraries.ts';
import { describeStruct, encodeStruct, expectedStruct, withoutPlaces } from './device-model.ts';
import { deviceStream, type DeviceSection } from './device-stream.ts';
import { SparseReader } from './sparse-reader.ts';

const u32 = { name: 'word', type: 'uint32', size: 4 };

function section(name: string, instanceId = 0): DeviceSection {
  const description = { vmsd_name: name, version: 1, fields: [u32] };
  return { name, instanceId, version: 1, body: Uint8Array.of(0, 0, 0, instanceId + 1), description };
}

const three = [section('cpu'), section('cpu', 1), section('0000:00:02.0/virtio-net')];

async function devicesOf(reader: RandomAccessReader, name?: string): Promise<DeviceStates> {
  const index = await readStreamIndex(reader);
  return readDevices(reader, index, name === undefined ? undefined : deviceNamed(name));
}

function names({ devices, undescribed }: DeviceStates): readonly string[] {
  return [...devices, ...undescribed].map(({ name, instanceId }) => `${name}/${instanceId}`);
}

test('every device of a stream is decoded, where it lies and as it is described', async (t) => {
  const models = fc.array(structModel, { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(models, async (structs) => {
      const sections = structs.map((struct, index): DeviceSection => ({
        name: `device-${index % 2}`,
        instanceId: index,
        version: struct.version,
        body: encodeStruct(struct),
        description: describeStruct(struct),
      }));
      const { bytes, bodies } = deviceStream(sections);
      const { devices, undescribed, problems } = await devicesOf(new StrictReader(bytes));
      t.deepEqual([undescribed, problems], [[], []]);
      t.deepEqual(
        devices.map((device) => withoutPlaces(device)),
        structs.map((struct) => expectedStruct(struct)),
      );
      t.deepEqual(
        devices.map(({ name, instanceId, offset, size }) => ({ name, instanceId, offset, size })),
        sections.map(({ name, instanceId, body }, index) => ({
          name,
          instanceId,
          offset: bodies[index],
          size: body.length,
        })),
      );
    }),
    { numRuns: 60 },
  );
});

test('devices are found by their name, its last part, and their instance', async (t) => {
  const reader = new StrictReader(deviceStream(three).bytes);
  const found = async (name: string): Promise<readonly string[]> => names(await devicesOf(reader, name));
  t.deepEqual(await found('cpu'), ['cpu/0', 'cpu/1']);
  t.deepEqual(await found('cpu/1'), ['cpu/1']);
  t.deepEqual(await found('virtio-net'), ['0000:00:02.0/virtio-net/0']);
  t.deepEqual(await found('virtio-net/0'), ['0000:00:02.0/virtio-net/0']);
  t.deepEqual(await found('0000:00:02.0/virtio-net'), ['0000:00:02.0/virtio-net/0']);
  for (const none of ['', '0', '1', 'cpu/2', 'cpu/', '/cpu', 'net', 'virtio-net/1'])
    t.deepEqual(await found(none), [], none);
});

test('without a vmdescription the sections are found by their footers', async (t) => {
  const { bytes, bodies, descriptionOffset } = deviceStream(three);
  const states = await devicesOf(new StrictReader(bytes.subarray(0, descriptionOffset)));
  t.deepEqual(states.devices, []);
  t.deepEqual(
    states.undescribed,
    three.map(({ name, instanceId, version }, index) => ({
      name,
      instanceId,
      version,
      offset: bodies[index] ?? 0,
      size: 4,
    })),
  );
  t.is(states.problems.length, 1);
  t.like(states.problems[0], { code: 'ERR_MAPPED_RAM_INCOMPLETE', path: 'strict' });
  t.is(typeof states.problems[0]?.offset, 'number');
});

test('of a stream that ends in a section the sections before it are listed, and what is known of it', async (t) => {
  const { bytes, bodies } = deviceStream(three);
  const { devices, undescribed } = await devicesOf(new StrictReader(bytes.subarray(0, (bodies[2] ?? 0) + 2)));
  t.deepEqual(devices, []);
  t.deepEqual(
    undescribed.map(({ name, size }) => [name, size]),
    [
      ['cpu', 4],
      ['cpu', 4],
      ['0000:00:02.0/virtio-net', undefined],
    ],
  );
});

test('a body of any bytes is measured by its footer', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 5 }), async (given) => {
      const sections = given.map((body, index) => ({ ...section('device', index), body }));
      const { bytes, descriptionOffset } = deviceStream(sections);
      const { undescribed } = await devicesOf(new StrictReader(bytes.subarray(0, descriptionOffset)));
      t.deepEqual(
        undescribed.map(({ size }) => size),
        given.map(({ length }) => length),
      );
    }),
    { numRuns: 60 },
  );
});

test('a footer inside a body does not end it when nothing follows that could', async (t) => {
  const body = Buffer.concat([
    Buffer.from('7e0000000a', 'hex'),
    Buffer.alloc(5000, 0x7e),
    Buffer.from([0x04]),
  ]);
  const { bytes, descriptionOffset } = deviceStream([{ ...section('odd'), body }, section('even')]);
  const { undescribed } = await devicesOf(new StrictReader(bytes.subarray(0, descriptionOffset)));
  t.deepEqual(
    undescribed.map(({ size }) => size),
    [body.length, 4],
  );
});

test('a device whose description is too short is decoded as far as it goes, and those behind it whole', async (t) => {
  const long = { ...section('long'), body: Buffer.alloc(6, 1) };
  const { bytes, bodies } = deviceStream([section('first'), long, section('last')]);
  const { devices, undescribed, problems } = await devicesOf(new StrictReader(bytes));
  t.deepEqual(undescribed, []);
  t.deepEqual(
    devices.map(({ name, size, rest }) => [name, size, rest?.length]),
    [
      ['first', 4, undefined],
      ['long', 6, 2],
      ['last', 4, undefined],
    ],
  );
  t.is(devices[1]?.fields[0]?.value, 0x01010101);
  t.like(problems.at(-1), { code: 'ERR_MAPPED_RAM_CORRUPT', offset: (bodies[1] ?? 0) + 4 });
  t.is(problems.length, 2);
});

test('a section that nothing describes is listed, and the others are decoded', async (t) => {
  const { bytes } = deviceStream([
    section('first'),
    { ...section('unknown'), description: undefined },
    section('last'),
  ]);
  const { devices, undescribed, problems } = await devicesOf(new StrictReader(bytes));
  t.deepEqual(
    devices.map(({ name }) => name),
    ['first', 'last'],
  );
  t.like(undescribed[0], { name: 'unknown', size: 4 });
  t.regex(problems[0]?.message ?? '', /does not describe section unknown\/0/);
});

test('a description of another version is said', async (t) => {
  const { bytes, bodies } = deviceStream([{ ...section('old'), version: 7 }]);
  const { devices, problems } = await devicesOf(new StrictReader(bytes));
  t.is(devices[0]?.fields[0]?.value, 1);
  t.like(problems[0], { code: 'ERR_MAPPED_RAM_CORRUPT', offset: bodies[0] ?? 0, expected: 1, found: 7 });
});

test('the vmdescription that measured the sections describes them, though another stands in front of it', async (t) => {
  const { bytes, descriptionOffset } = deviceStream(three);
  const other = encodeVmdescription(Buffer.from('{"devices": 7}'));
  const [state, description] = [bytes.subarray(0, descriptionOffset), bytes.subarray(descriptionOffset)];
  // The reader looks for a vmdescription behind the byte that ends the section loop.
  const both = Buffer.concat([state, other, encodeEof(), description]);
  const { devices, undescribed, problems } = await devicesOf(new StrictReader(both));
  t.deepEqual(undescribed, []);
  t.is(devices.length, three.length);
  t.is(problems.length, 1);
  t.regex(
    problems[0]?.message ?? '',
    /the vmdescription that fits the sections is not the one behind the end/,
  );
});

test('a damaged stream is read without a throw, and what is shown of it lies in the file', async (t) => {
  const { bytes, bodies, descriptionOffset } = deviceStream([...three, section('last')]);
  const [start = 0] = bodies;
  const places = fc.oneof(
    fc.integer({ min: start - 20, max: descriptionOffset }),
    fc.integer({ min: descriptionOffset, max: bytes.length - 1 }),
  );
  const damage = fc.record({
    place: places,
    byte: fc.oneof(fc.integer({ min: 0x30, max: 0x39 }), fc.nat({ max: 255 })),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), fc.boolean(), async (flips, cut) => {
      const damaged = Uint8Array.from(bytes);
      for (const { place, byte } of flips) damaged[place] = byte;
      const size = cut ? (flips[0]?.place ?? 0) : damaged.length;
      const { devices, undescribed } = await devicesOf(new StrictReader(damaged.subarray(0, size)));
      for (const found of [...devices, ...undescribed]) t.true(found.offset + (found.size ?? 0) <= size);
    }),
    { numRuns: 500 },
  );
});

test('device state of gigabytes is not loaded', async (t) => {
  const size = 2 ** 31;
  const description = { vmsd_name: 'x', version: 1, fields: [{ name: 'x', type: 'buffer', size }] };
  const { bytes, bodies } = deviceStream([{ ...section('huge'), description }]);
  const [body = 0] = bodies;
  const reader = new SparseReader(bytes, body, size);
  const { devices, problems } = await devicesOf(reader);
  t.like(devices[0], { name: 'huge', size, fields: [] });
  t.like(problems[0], { code: 'ERR_MAPPED_RAM_UNSUPPORTED', offset: body, found: size });
  t.true(reader.largest < 2 ** 26);
});

test('looking for sections reads no more than a bounded part of the file', async (t) => {
  const { bytes, bodies } = deviceStream(three);
  const reader = new StrictReader(bytes.subarray(0, bodies[0]), 2 ** 40);
  const { undescribed } = await devicesOf(reader);
  t.deepEqual(
    undescribed.map(({ name, size }) => [name, size]),
    [['cpu', undefined]],
  );
  t.true(reader.total < 2 ** 28);
});

test('a file full of footers does not hang the search', async (t) => {
  const { bytes, bodies } = deviceStream(three);
  const footers = Buffer.from('7e0000000a'.repeat(200_000), 'hex');
  const { undescribed } = await devicesOf(
    new StrictReader(Buffer.concat([bytes.subarray(0, bodies[0]), footers])),
  );
  t.is(undescribed.length, 1);
});
