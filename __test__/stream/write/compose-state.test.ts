import test, { type ExecutionContext } from 'ava';

import { bytesReader, readStreamIndex, type StreamIndex } from '../../../ts/stream/index.ts';
import { readDevices } from '../../../ts/stream/devices/read-devices.ts';
import { readGlobalState, stateToRecord } from '../../../ts/stream/global-state.ts';
import { splitFullSections } from '../../../ts/stream/read/split-full-sections.ts';
import { deviceBodyLength } from '../../../ts/stream/vmdescription/body-length.ts';
import { type ComposeOptions, composeState, streamMachine } from '../../../ts/stream/write/compose-state.ts';
import type { StreamPiece } from '../../../ts/stream/write/pieces.ts';
import { deviceStateBytes, globalStateBody, type StateSection } from '../device-state-bytes.ts';
import { deviceStream, type DeviceSection } from '../devices/device-stream.ts';

const Q35 = 'pc-q35-10.0';
const BLOCKS = [
  { id: 'pc.ram', length: 64 * 4096 },
  { id: '/rom@etc/acpi/tables', length: 8192 },
];

const CPU: StateSection = { sectionId: 3, idstr: 'cpu', instanceId: 1, body: Buffer.from([0, 0, 0, 5]) };
const EARLY: StateSection = {
  sectionId: 9,
  idstr: '0000:00:05.0/virtio-mem-device-early',
  body: Buffer.from('early!'),
};
const GLOBAL: StateSection = { sectionId: 12, idstr: 'globalstate', body: globalStateBody('running') };
const SECTIONS = [CPU, EARLY, GLOBAL];

/** The bytes of pieces that follow each other. */
function joined(pieces: readonly StreamPiece[], source: Uint8Array): Buffer {
  let end = 0;
  const parts = pieces.map(({ offset, bytes, source: range }) => {
    if (offset !== end) throw new Error(`a piece at ${offset}, not ${end}`);
    const part = bytes ?? source.subarray(range.offset, range.offset + range.length);
    end += part.length;
    return part;
  });
  return Buffer.concat(parts);
}

async function compose(
  sections: readonly StateSection[],
  given: Partial<ComposeOptions> = {},
): Promise<{ readonly bytes: Buffer; readonly index: StreamIndex }> {
  const state = deviceStateBytes(sections);
  const reader = bytesReader(state, 'state');
  const { pieces, size } = await composeState(reader, {
    ...streamMachine({ machine: Q35, target: 'x86_64', base: given.base }),
    sections: await splitFullSections(reader),
    blocks: BLOCKS,
    runState: { before: 'running', stopped: 'paused' },
    ...given,
  });
  const bytes = joined(pieces, state);
  if (bytes.length !== size) throw new Error(`${bytes.length} bytes, not ${size}`);
  return { bytes, index: await readStreamIndex(bytesReader(bytes)) };
}

function summary({ sections }: StreamIndex): readonly unknown[] {
  return sections.map(({ sectionId, idstr, instanceId, versionId, bodyLength, early }) => [
    sectionId,
    `${idstr}/${instanceId}`,
    versionId,
    bodyLength,
    early,
  ]);
}

/** A complete stream with these devices, to be a base. */
async function baseOf(sections: readonly DeviceSection[]): Promise<StreamIndex> {
  return readStreamIndex(bytesReader(deviceStream(sections).bytes));
}

/** What `readDevices` makes of the fields of a composed stream's devices. */
async function assertDecodes(t: ExecutionContext, bytes: Buffer, index: StreamIndex): Promise<void> {
  const { devices, undescribed, problems } = await readDevices(bytesReader(bytes), index);
  t.deepEqual([undescribed, problems], [[], []]);
  t.is(devices.length, index.sections.length);
}

test('device state becomes a complete plain stream that lists blocks and has no page', async (t) => {
  const { bytes, index } = await compose(SECTIONS);
  t.is(index.problem, undefined);
  t.true(index.complete);
  t.deepEqual(index.configuration, { machine: Q35, capabilities: [] });
  const { ram } = index;
  t.true(ram?.form === 'plain' && ram.ended);
  t.deepEqual(ram?.blocks, BLOCKS);
  t.deepEqual(ram?.form === 'plain' && ram.pages, { zero: 0, page: 0, xbzrle: 0, compressed: 0 });
  t.deepEqual([ram?.sectionId, ram?.targetPageSize], [1, 4096]);
  t.deepEqual(summary(index), [
    [9, '0000:00:05.0/virtio-mem-device-early/0', 1, 6, true],
    [3, 'cpu/1', 1, 4, false],
    [12, 'globalstate/0', 1, 104, false],
  ]);
  t.deepEqual([index.commands, index.trailing], [[], undefined]);
  await assertDecodes(t, bytes, index);
});

test('the description of a base is kept for sections that it fits, and others are one field', async (t) => {
  const u32 = { name: 'word', type: 'uint32', size: 4 };
  const cpu = { vmsd_name: 'cpu', version: 1, fields: [u32] };
  const inner = { vmsd_name: 'sub', version: 1, fields: [u32] };
  const base = await baseOf([
    { ...entry('cpu', cpu), instanceId: 1 },
    entry('longer', { vmsd_name: 'longer', version: 1, fields: [u32] }),
    entry('newer', { vmsd_name: 'newer', version: 1, fields: [u32] }),
    entry('parts', { vmsd_name: 'parts', version: 1, fields: [], subsections: [inner] }, subsection('sub')),
    entry('gone', cpu),
  ]);
  t.is(base.problem, undefined);
  const { bytes, index } = await compose(
    [
      CPU,
      { sectionId: 20, idstr: 'longer', body: Buffer.alloc(5) },
      { sectionId: 21, idstr: 'newer', versionId: 2, body: Buffer.alloc(4) },
      // The length is that of the entry in the base, and the content is not.
      { sectionId: 22, idstr: 'parts', body: subsection('bus') },
      GLOBAL,
    ],
    { base },
  );
  const fieldsOf = new Map(index.vmdescription?.json?.devices.map(({ name, ...rest }) => [name, rest]));
  t.deepEqual(fieldsOf.get('cpu'), { instance_id: 1, ...cpu });
  for (const [name, size] of [
    ['longer', 5],
    ['newer', 4],
    ['parts', subsection('bus').length],
    ['globalstate', 104],
  ] as const) {
    const fields = [{ name: 'data', size, type: 'buffer' }];
    t.deepEqual(fieldsOf.get(name), { instance_id: 0, fields }, name);
  }
  t.false(fieldsOf.has('gone'));
  await assertDecodes(t, bytes, index);
});

function entry(name: string, description: object, body: Uint8Array = Buffer.alloc(4)): DeviceSection {
  return { name, instanceId: 0, version: 1, body, description };
}

function subsection(name: string): Buffer {
  const head = Buffer.from([5, name.length, ...Buffer.from(name), 0, 0, 0, 1]);
  return Buffer.concat([head, Buffer.alloc(4, 7)]);
}

test('CONFIGURATION is described as QEMU does, and members of the caller’s go along', async (t) => {
  const configuration = {
    machine: 'virt-10.0',
    capabilities: [],
    targetPageBits: 12,
    uuid: new Uint8Array(16).fill(3),
  };
  const members = { 'mapped-ram-base': { size: 7, name: 'base.mr' } };
  const { index } = await compose(SECTIONS, { configuration, members });
  t.deepEqual(index.configuration, configuration);
  const { json } = index.vmdescription ?? {};
  t.deepEqual(json?.['mapped-ram-base'], members['mapped-ram-base']);
  t.is(json?.page_size, 4096);
  const described = { name: '', instance_id: 0, ...Object(json?.configuration) };
  // Type byte and capabilities aside, the record is as long as its description says.
  const machineBytes = 4 + configuration.machine.length;
  const bits = 6 + 'configuration/target-page-bits'.length + 4;
  const uuid = 6 + 'configuration/uuid'.length + 16;
  t.is(deviceBodyLength(described), machineBytes + bits + uuid);
  for (const own of ['devices', 'page_size', 'configuration'])
    await t.throwsAsync(compose(SECTIONS, { members: { [own]: 1 } }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    });
});

test("RAM's section has an id that no device has", async (t) => {
  const one = { ...CPU, sectionId: 1 };
  t.is((await compose([one, GLOBAL])).index.ram?.sectionId, 2);
  const base = await baseOf([]);
  t.is((await compose([CPU, GLOBAL], { base })).index.ram?.sectionId, base.ram?.sectionId);
  // The head of the base may stay in front, so a device that has its id gets another one.
  const { index } = await compose([one, { ...EARLY, sectionId: 2 }, GLOBAL], { base });
  t.is(index.ram?.sectionId, base.ram?.sectionId);
  const devices = index.sections.filter(({ idstr }) => idstr !== 'ram');
  t.is(devices.length, 3);
  t.false(devices.some(({ sectionId }) => sectionId === base.ram?.sectionId));
  t.is(new Set(devices.map(({ sectionId }) => sectionId)).size, 3);
});

test('a section that the base has early is early', async (t) => {
  const { bytes, index: first } = await compose(SECTIONS);
  t.is(bytes.length, first.size);
  const sections = first.sections.map((section) =>
    section.idstr === 'cpu' ? { ...section, early: true } : section,
  );
  const { index } = await compose(SECTIONS, { base: { ...first, sections } });
  t.deepEqual(
    index.sections.map(({ idstr, early }) => [idstr, early]),
    [
      ['cpu', true],
      ['0000:00:05.0/virtio-mem-device-early', true],
      ['globalstate', false],
    ],
  );
});

test('the stream records what the guest did before it was stopped', async (t) => {
  for (const [before, stopped, asleep, recorded] of [
    ['running', 'paused', false, 'running'],
    ['running', 'paused', true, 'suspended'],
    ['suspended', 'paused', true, 'suspended'],
    ['running', 'shutdown', false, 'shutdown'],
    ['running', 'guest-panicked', false, 'guest-panicked'],
    ['paused', 'paused', false, 'paused'],
    ['paused', 'paused', true, 'paused'],
    ['prelaunch', 'prelaunch', false, 'prelaunch'],
    ['postmigrate', 'postmigrate', false, 'postmigrate'],
    ['debug', 'debug', false, 'paused'],
    ['inmigrate', 'inmigrate', false, 'paused'],
  ] as const) {
    const words = `${before}, ${stopped}, ${asleep}`;
    t.is(stateToRecord(before, { runState: stopped, asleep }), recorded, words);
    const global = { ...GLOBAL, body: globalStateBody('running', asleep) };
    const { bytes, index } = await compose([CPU, global], { runState: { before, stopped } });
    const found = await readGlobalState(bytesReader(bytes), index);
    t.is(found?.runState, recorded, words);
    t.is(found?.asleep, asleep, words);
  }
});

test('state without a run state is refused, for QEMU would let any guest run', async (t) => {
  await t.throwsAsync(compose([CPU]), { code: 'ERR_MAPPED_RAM_CORRUPT', message: /no run state/ });
});

test('a base with live state beside RAM is refused, and so is one of another machine or cut off', async (t) => {
  const { bytes, index } = await compose(SECTIONS);
  const [section] = index.sections;
  t.truthy(section);
  if (section === undefined) return;
  const live = { ...section, kind: 'start', idstr: 'dirty-bitmap', offset: 77 } as const;
  const error = await t.throwsAsync(
    compose(SECTIONS, { base: { ...index, sections: [live, ...index.sections] } }),
  );
  t.like(error, { code: 'ERR_MAPPED_RAM_UNSUPPORTED', offset: 77 });
  t.regex(error?.message ?? '', /dirty-bitmap/);
  t.throws(() => streamMachine({ machine: 'pc-i440fx-10.0', target: 'x86_64', base: index }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /pc-i440fx-10.0/,
  });
  const cut = await readStreamIndex(bytesReader(bytes.subarray(0, bytes.length - 200)));
  const thrown = t.throws(() => streamMachine({ machine: Q35, target: 'x86_64', base: cut }));
  t.true(thrown !== undefined && thrown === cut.problem);
});

/** The page size of a machine without a base, and the bits in CONFIGURATION. */
function pages(target: string, machine: string): readonly unknown[] {
  const { configuration, targetPageSize } = streamMachine({ target, machine });
  return [targetPageSize, configuration.targetPageBits];
}

test('the page size of a machine is known, or a base tells it', async (t) => {
  t.deepEqual(pages('x86_64', 'anything'), [4096, undefined]);
  t.deepEqual(pages('riscv64', 'virt'), [4096, undefined]);
  for (const machine of ['virt', 'virt-10.0', 'virt-2.9', 'sbsa-ref'])
    t.deepEqual(pages('aarch64', machine), [4096, 12], machine);
  for (const [target, machine] of [
    ['aarch64', 'virt-2.8'],
    ['aarch64', 'raspi3b'],
    ['aarch64', 'xlnx-versal-virt'],
    ['alpha', 'clipper'],
  ] as const)
    t.throws(() => pages(target, machine), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' }, machine);
  const configuration = { machine: 'clipper', capabilities: [], targetPageBits: 13 };
  const blocks = [{ id: 'ram', length: 16_384 }];
  const { index: base } = await compose(SECTIONS, { configuration, targetPageSize: 8192, blocks });
  const machine = streamMachine({ target: 'alpha', machine: 'clipper', base });
  t.deepEqual(machine, { configuration, targetPageSize: 8192 });
});
