import test from 'ava';
import * as fc from 'fast-check';

import {
  assembleMappedRam,
  assemblePlainBatches,
  readStreamIndex,
  walkStream,
  type PlainPage,
  type StreamIndex,
  type StreamPiece,
  type StreamRecord,
} from '../../../ts/stream/index.ts';
import { assemblePlain } from '../../support/assemble-plain.ts';
import { stateSections } from '../../../ts/stream/write/state-sections.ts';
import { streamModel } from '../../support/stream-arbitraries.ts';
import { model, plain, timer } from '../broken-streams.ts';
import {
  buildStream,
  StreamBuilder,
  type BuiltStream,
  type StreamModel,
} from '../../support/stream-builder.ts';
import { collect, StrictReader } from '../strict-reader.ts';

const early = { ...timer, idstr: 'vm0/virtio-mem-device-early' };
const withEarly: StreamModel = {
  ...model,
  early: [early],
  devices: [timer, { ...timer, instanceId: 1 }],
  parts: [[], []],
};

async function indexOf(bytes: Uint8Array, offset = 0): Promise<StreamIndex> {
  return await readStreamIndex(new StrictReader(bytes), { offset });
}

/** The bytes that a writer makes of pieces. */
function write(source: Uint8Array, size: number, pieces: readonly StreamPiece[]): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const piece of pieces) {
    const { offset, bytes: own, source: range } = piece;
    bytes.set(own ?? source.subarray(range.offset, range.offset + range.length), offset);
  }
  return bytes;
}

/** The bytes of sections and commands, wherever they stand, without RAM and configuration, which differ by design. */
function carried({ bytes, records }: BuiltStream): readonly string[] {
  return records
    .filter((record) => record.type === 'command' || (record.type === 'section' && record.idstr !== 'ram'))
    .map(({ offset, length }) => Buffer.from(bytes.subarray(offset, offset + length)).toString('hex'));
}

async function walked(bytes: Uint8Array, offset: number): Promise<BuiltStream> {
  return { bytes, records: await collect(walkStream(new StrictReader(bytes), { offset })) };
}

function place(records: readonly StreamRecord[], name: string): number {
  return records.findIndex((record) =>
    record.type === 'section'
      ? record.idstr === name || `${record.idstr} ${record.kind}` === name
      : record.type === name,
  );
}

test('device state is told apart by where it stands, and joined where it touches', async (t) => {
  const { bytes, records } = buildStream(withEarly);
  const sections = stateSections(await indexOf(bytes));
  const earlyRecord = records.find((record) => record.type === 'section' && record.idstr === early.idstr);
  const command = records.find((record) => record.type === 'command');
  const devices = records.filter((record) => record.type === 'section' && record.idstr === 'timer');
  const [first, second] = devices;
  t.deepEqual(sections.before, []);
  t.deepEqual(sections.early, [{ offset: earlyRecord?.offset, length: earlyRecord?.length }]);
  t.deepEqual(sections.switchover, [{ offset: command?.offset, length: 5 }]);
  t.deepEqual(sections.devices, [
    { offset: first?.offset, length: (first?.length ?? 0) + (second?.length ?? 0) },
  ]);
  t.is(sections.eof.offset, (second?.offset ?? 0) + (second?.length ?? 0));
  t.is(sections.vmdescription?.offset, sections.eof.offset + 1);
});

test('a PART that follows START at once does not hide what stands before END', async (t) => {
  const { bytes, records } = buildStream({ ...model, parts: [[], [], []] });
  const sections = stateSections(await indexOf(bytes));
  t.deepEqual(sections.early, []);
  t.deepEqual(sections.switchover, [
    { offset: records.find((record) => record.type === 'command')?.offset, length: 5 },
  ]);
});

test('devices in front of RAM come behind its START when RAM is written anew', async (t) => {
  const builder = new StreamBuilder().beginning(plain);
  const head = builder.offset;
  builder.command(2, 'PING', Uint8Array.of(0, 0, 0, 9)).device(timer);
  const { bytes: ram } = buildStream({ ...model, configuration: plain, devices: [] });
  builder.raw(ram.subarray(head));
  // A vmdescription with the timer replaces that of a stream without devices.
  const whole = buildStream({ ...model, configuration: plain });
  const [from, to] = [await indexOf(whole.bytes), await indexOf(ram)];
  const end = builder.offset - (to.vmdescription?.length ?? 0);
  const tail = whole.bytes.subarray(from.vmdescription?.offset);
  const bytes = new Uint8Array(Buffer.concat([builder.bytes.subarray(0, end), tail]));
  const state = await indexOf(bytes);
  t.true(state.complete);
  t.is(stateSections(state).before.length, 1);
  t.like(state.commands[0], { name: 'PING', data: Uint8Array.of(0, 0, 0, 9) });
  const configuration = { ...plain, capabilities: ['mapped-ram'] };
  const { pieces, endOffset } = assembleMappedRam({
    state,
    configuration,
    blocks: model.blocks,
    vmdescription: tail.subarray(5),
  });
  const { records } = await walked(write(bytes, endOffset, pieces), 0);
  const order = ['ram start', 'timer', 'ram end', 'eof'].map((name) => place(records, name));
  t.deepEqual(
    order,
    order.toSorted((left, right) => left - right),
  );
  t.true(order.every((index) => index >= 0));
  // A question about a connection is no part of a file whose RAM is written anew.
  t.false(records.some((record) => record.type === 'command' && record.name === 'PING'));
});

test('without later RAM sections nothing is early', async (t) => {
  const { bytes } = buildStream({ ...withEarly, parts: [], switchover: false });
  const index = await indexOf(bytes);
  t.true(index.complete);
  t.deepEqual(
    index.sections.map((section) => section.early),
    [false, false, false],
  );
  t.is(stateSections(index).devices.length, 1);
  t.deepEqual(stateSections(index).early, []);
});

test('an incomplete stream has no device state to carry', async (t) => {
  const { bytes } = buildStream(withEarly);
  const index = await indexOf(bytes.subarray(0, -1));
  t.throws(() => stateSections(index), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
});

test('a stream without RAM has no device state to carry', async (t) => {
  const builder = new StreamBuilder().beginning({ machine: 'none', capabilities: [] }).eof();
  const index = await indexOf(builder.bytes);
  t.true(index.complete);
  t.throws(() => stateSections(index), { code: 'ERR_MAPPED_RAM_CORRUPT' });
});

test('device state is carried into a mapped-ram stream byte for byte', async (t) => {
  await fc.assert(
    fc.asyncProperty(streamModel(), fc.constantFrom(0, 5, 4096), async (from, base) => {
      const built = buildStream(from);
      const state = await indexOf(built.bytes, from.base);
      const configuration = { ...from.configuration, capabilities: ['mapped-ram'] };
      const blocks = from.blocks.map(({ id, length }) => ({ id, length }));
      const { pieces, endOffset } = assembleMappedRam({ state, configuration, blocks, base });
      const bytes = write(built.bytes, endOffset, pieces);
      // The walk needs a vmdescription, and `assembleMappedRam` was given none: the old one follows.
      const { vmdescription } = stateSections(state);
      const tail = built.bytes.subarray(
        vmdescription?.offset,
        (vmdescription?.offset ?? 0) + (vmdescription?.length ?? 0),
      );
      const whole = await walked(new Uint8Array(Buffer.concat([bytes, tail])), base);
      t.deepEqual(carried(whole), carried(built));
      t.is((await indexOf(whole.bytes, base)).ram?.sectionId, from.ramId);
      assertOrder(t.true.bind(t), whole.records);
    }),
    { numRuns: 60 },
  );
});

test('device state is carried into a plain stream byte for byte, with the pages that are named', async (t) => {
  await fc.assert(
    fc.asyncProperty(streamModel({ form: 'mapped-ram' }), async (from) => {
      const built = buildStream(from);
      const state = await indexOf(built.bytes, from.base);
      if (state.ram?.form !== 'mapped-ram') throw new Error('wrong form');
      const { targetPageSize } = state.ram;
      const pages = state.ram.blocks
        .filter(({ skipped }) => !skipped)
        .flatMap(({ id: block, area: { pagesOffset } }): readonly PlainPage[] => [
          { block, offset: 0, source: pagesOffset },
          { block, offset: 0, source: 'zero' },
        ]);
      const options = {
        state,
        configuration: { ...from.configuration, capabilities: [] },
        blocks: from.blocks.map(({ id, length }) => ({ id, length })),
        vmdescription: built.bytes.slice(
          state.vmdescription?.jsonOffset,
          (state.vmdescription?.jsonOffset ?? 0) + (state.vmdescription?.jsonLength ?? 0),
        ),
        pages,
      };
      const { pieces, endOffset } = assemblePlain(options);
      const bytes = write(built.bytes, endOffset, pieces);
      const whole = await walked(bytes, 0);
      t.deepEqual(carried(whole), carried(built));
      const written = whole.records.filter((record) => record.type === 'ram-page');
      t.deepEqual(
        written.map(({ block, kind }) => [block, kind]),
        pages.map(({ block, source }) => [block, source === 'zero' ? 'zero' : 'page']),
      );
      for (const [index, { dataOffset, dataLength }] of written.entries()) {
        const source = pages[index]?.source;
        if (source === 'zero' || source === undefined) continue;
        const [found, wanted] = [
          bytes.slice(dataOffset, dataOffset + dataLength),
          built.bytes.slice(source, source + targetPageSize),
        ];
        t.deepEqual(found, wanted);
      }
      assertOrder(t.true.bind(t), whole.records);
      const batches = (await collect(assemblePlainBatches(options))).flat();
      t.deepEqual(write(built.bytes, endOffset, batches), bytes);
    }),
    { numRuns: 60 },
  );
});

test('many pages come in batches that follow each other', async (t) => {
  const { bytes } = buildStream(withEarly);
  const state = await indexOf(bytes);
  const pages = Array.from({ length: 1000 }, (_, index): PlainPage => ({
    block: 'a',
    offset: (index % 2) * 4096,
    source: index % 3 === 0 ? 4096 : 'zero',
  }));
  const configuration = { machine: 'q35', capabilities: [] };
  const batches = await collect(assemblePlainBatches({ state, configuration, blocks: model.blocks, pages }));
  t.is(batches.length, 4);
  let offset = 0;
  for (const piece of batches.flat()) {
    t.is(piece.offset, offset);
    offset += piece.bytes?.length ?? piece.source?.length ?? 0;
  }
  const { endOffset } = assemblePlain({ state, configuration, blocks: model.blocks, pages });
  t.is(offset, endOffset);
});

/** Asserts the order of a stream: START, early, SWITCHOVER_START, END, devices, EOF. */
function assertOrder(
  isTrue: (value: boolean, message: string) => unknown,
  records: readonly StreamRecord[],
): void {
  const order = [
    place(records, 'ram start'),
    place(records, 'command'),
    place(records, 'ram end'),
    place(records, 'eof'),
  ];
  const present = order.filter((index) => index >= 0);
  isTrue(
    present.every((index, at) => at === 0 || index > (present[at - 1] ?? 0)),
    `order ${order.join(' ')}`,
  );
}
