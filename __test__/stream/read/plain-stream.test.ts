import test from 'ava';
import * as fc from 'fast-check';

import { encodeCommand, SWITCHOVER_START } from '../../../ts/stream/command.ts';
import { encodeConfiguration, encodeFileHeader } from '../../../ts/stream/configuration.ts';
import {
  bytesReader,
  readStreamIndex,
  walkStream,
  type RamPageRecord,
  type StreamIndex,
} from '../../../ts/stream/index.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
} from '../../../ts/stream/section.ts';
import { encodeEmptyRamSection, encodePlainRamStart } from '../../../ts/stream/write/encode-ram.ts';
import { MAX_RECORDS } from '../../../ts/stream/constants.ts';
import { MAX_STATE_BYTES } from '../../../ts/stream/read/kept-bytes.ts';
import { PlainStream } from '../../../ts/stream/read/plain-stream.ts';
import { SequentialReader } from '../../../ts/stream/read/sequential-reader.ts';
import { streamModel } from '../../support/stream-arbitraries.ts';
import { inChunks } from '../in-chunks.ts';
import { buildStream } from '../../support/stream-builder.ts';
import { collect } from '../strict-reader.ts';

function open(bytes: Uint8Array, base = 0, cuts: readonly number[] = []): PlainStream {
  return new PlainStream(new SequentialReader('pipe', inChunks(bytes, cuts)), base);
}

async function allPages(stream: PlainStream): Promise<readonly RamPageRecord[]> {
  const pages: RamPageRecord[] = [];
  for await (const batch of stream.pages()) pages.push(...batch);
  return pages;
}

/** All sections with their bytes. */
function sectionsOf(index: StreamIndex, bytes: Uint8Array): readonly unknown[] {
  return index.sections.map(({ idstr, instanceId, early, offset, length }) => ({
    idstr,
    instanceId,
    early,
    bytes: Buffer.from(bytes.subarray(offset, offset + length)),
  }));
}

test('read once, front to back, a stream gives the pages of a walk, and the rest is the stream without them', async (t) => {
  const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(streamModel({ form: 'plain' }), cuts, async (model, sizes) => {
      const { bytes } = buildStream(model);
      const reader = bytesReader(bytes);
      const expected = await readStreamIndex(reader, { offset: model.base });
      const stream = open(bytes, model.base, sizes);
      const head = await stream.readHead();
      t.deepEqual(head.configuration, expected.configuration);
      t.deepEqual(
        head.blocks,
        expected.ram?.blocks.map(({ id, length }) => ({ id, length })),
      );
      const records = await collect(walkStream(reader, { offset: model.base }));
      t.deepEqual(
        await allPages(stream),
        records.filter((record) => record.type === 'ram-page'),
      );
      const rest = await stream.rest();
      const index = await readStreamIndex(bytesReader(rest));
      t.is(index.problem?.code, expected.problem?.code);
      t.deepEqual(sectionsOf(index, rest), sectionsOf(expected, bytes));
      t.deepEqual(index.ram?.form === 'plain' && index.ram.pages, {
        zero: 0,
        page: 0,
        xbzrle: 0,
        compressed: 0,
      });
    }),
    { numRuns: 150 },
  );
});

test('a stream that ends anywhere before its RAM does is refused', async (t) => {
  const [model] = fc.sample(streamModel({ form: 'plain', trailing: false, minDevices: 2 }), {
    numRuns: 1,
    seed: 7,
  });
  if (model === undefined) throw new Error('no model');
  const { bytes, records } = buildStream({ ...model, base: 0 });
  const end = records.find((record) => record.type === 'section' && record.kind === 'end');
  const size = (end?.offset ?? 0) + (end?.length ?? 0);
  t.true(size > 100);
  for (let length = 0; length < size; length += 1 + Math.floor(size / 300)) {
    const stream = open(bytes.subarray(0, length));
    const reading = stream.readHead().then(() => allPages(stream));
    const error = await t.throwsAsync(
      reading,
      { code: 'ERR_MAPPED_RAM_TRUNCATED', message: /^pipe, offset .*: the stream ends too early/ },
      `${length} bytes`,
    );
    t.notRegex(error?.message ?? '', /\b1 bytes/);
  }
});

const configuration = { machine: 'pc', capabilities: [] };
const start = encodePlainRamStart({ configuration, blocks: [{ id: 'a', length: 4096 }] });
const device = { sectionId: 9, idstr: 'vfio', instanceId: 0, versionId: 1 };

test('other iterable sections and bodies without an end are refused with a reason', async (t) => {
  const iterable = open(Buffer.concat([start, encodeSectionHeader('start', device), Buffer.alloc(50)]));
  await t.throwsAsync(iterable.readHead(), {
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
    message: /nothing describes the body of section vfio/,
  });
  const endless = open(
    Buffer.concat([start, encodeSectionHeader('full', device), Buffer.alloc(MAX_STATE_BYTES + 2 ** 20)]),
  );
  await t.throwsAsync(endless.readHead(), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /section vfio cannot be measured/,
  });
  const noRam = open(Buffer.concat([encodeFileHeader(), encodeConfiguration(configuration), encodeEof()]));
  await t.throwsAsync(noRam.readHead(), { code: 'ERR_MAPPED_RAM_CORRUPT', message: /before its RAM does/ });
});

test('RAM without an END, as background-snapshot leaves it, goes to the end of the stream', async (t) => {
  const bytes = Buffer.concat([start, encodeEof()]);
  const stream = open(bytes);
  await stream.readHead();
  t.deepEqual(await allPages(stream), []);
  t.is(Buffer.compare(await stream.rest(), bytes), 0);
  const { complete, ram } = await readStreamIndex(bytesReader(bytes));
  t.deepEqual([complete, ram?.ended], [true, false]);
});

test('a footer inside a body is told from the one that ends it by what follows', async (t) => {
  const footer = encodeFooter(9);
  const body = Buffer.concat([
    footer,
    Buffer.from('something else'),
    footer,
    Uint8Array.of(4, 0, 0, 0, 9, 7),
  ]);
  const end = Uint8Array.of(3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 1, 0);
  const early = [encodeSectionHeader('full', device), body, footer];
  // An id that has started cannot start again, so the second footer in the body is no footer.
  const iterable = encodeSectionHeader('start', { ...device, idstr: 'dirty-bitmap' });
  const stream = open(Buffer.concat([start, iterable, Uint8Array.of(1), footer, ...early, end]));
  await stream.readHead();
  t.deepEqual(await allPages(stream), []);
  t.true(Buffer.from(await stream.rest()).includes(Buffer.concat(early)));
});

test('a mapped-ram file and endless device state are refused', async (t) => {
  const [model] = fc.sample(streamModel({ form: 'mapped-ram' }), 1);
  if (model === undefined) throw new Error('no model');
  await t.throwsAsync(open(buildStream({ ...model, base: 0 }).bytes).readHead(), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /must be read at offsets/,
  });
  const end = Uint8Array.of(3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 1);
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield Buffer.concat([start, end]);
    for (let count = 0; count <= MAX_STATE_BYTES; count += 2 ** 22) yield Buffer.alloc(2 ** 22);
  }
  const stream = new PlainStream(new SequentialReader('pipe', endless()), 0);
  await stream.readHead();
  await allPages(stream);
  await t.throwsAsync(stream.rest(), { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /too much/ });
});

const ram = start.subarray(encodeFileHeader().length + encodeConfiguration(configuration).length);

/** A stream without pages that has some records before its RAM, and others between RAM's sections. */
function withRecords(before: readonly Uint8Array[], between: readonly Uint8Array[] = []): Uint8Array {
  const beginning = [encodeFileHeader(), encodeConfiguration(configuration)];
  return Buffer.concat([...beginning, ...before, ram, ...between, encodeEmptyRamSection('end'), encodeEof()]);
}

async function readThrough(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = open(bytes);
  await stream.readHead();
  await allPages(stream);
  return stream.rest();
}

test('there may be as many commands as the index takes, and not one more', async (t) => {
  const command = encodeCommand(SWITCHOVER_START);
  const most = Array.from({ length: MAX_RECORDS }, () => command);
  const half = most.length / 2;
  for (const bytes of [withRecords(most), withRecords(most.slice(half), most.slice(half))]) {
    t.is(Buffer.compare(await readThrough(bytes), bytes), 0);
    t.is((await readStreamIndex(bytesReader(bytes))).commands.length, MAX_RECORDS);
  }
  const refused = {
    code: 'ERR_MAPPED_RAM_CORRUPT',
    message: new RegExp(`more than ${MAX_RECORDS} sections and commands`),
  };
  const tooMany = [
    withRecords([...most, command]),
    withRecords(most.slice(half), [...most.slice(half), command]),
  ];
  for (const bytes of tooMany) {
    const { problem } = await readStreamIndex(bytesReader(bytes));
    t.like(problem, { code: 'ERR_MAPPED_RAM_CORRUPT' });
    // The reader refuses the stream on its way, so that it keeps a bounded number of records.
    await t.throwsAsync(readThrough(bytes), refused);
  }
  await t.throwsAsync(
    open(
      Buffer.concat([encodeFileHeader(), encodeConfiguration(configuration), ...most, command]),
    ).readHead(),
    refused,
  );
});

const bitmaps = { ...device, idstr: 'dirty-bitmap' };
const bitmapStart = Buffer.concat([encodeSectionHeader('start', bitmaps), Uint8Array.of(1), encodeFooter(9)]);
const bitmapPart = Buffer.concat([encodeSectionContinuation('part', 9), Uint8Array.of(1), encodeFooter(9)]);
const otherBitmaps = Buffer.concat([
  encodeSectionHeader('start', { ...bitmaps, sectionId: 10 }),
  Uint8Array.of(1),
  encodeFooter(10),
]);
const secondRam = encodeSectionHeader('start', { sectionId: 11, idstr: 'ram', instanceId: 0, versionId: 4 });
const otherInstance = Buffer.from(ram);
otherInstance.writeUInt32BE(1, 9);

for (const [what, bytes] of Object.entries({
  'a section that goes on before RAM starts': withRecords([bitmapStart, bitmapPart]),
  'a section of the same name': withRecords([bitmapStart], [otherBitmaps]),
  'a second RAM section': withRecords([], [secondRam]),
  'a section that goes on and has not started': withRecords([], [bitmapPart]),
  'a section without its footer': withRecords([bitmapStart.subarray(0, -5)]),
  'another instance of RAM': Buffer.concat([
    encodeFileHeader(),
    encodeConfiguration(configuration),
    otherInstance,
  ]),
})) {
  test(`what is read at offsets and what comes out of a pipe have the same rules: ${what}`, async (t) => {
    const { problem } = await readStreamIndex(bytesReader(bytes, 'pipe'));
    if (problem === undefined) t.is(Buffer.compare(await readThrough(bytes), bytes), 0);
    else await t.throwsAsync(readThrough(bytes), { code: problem.code, message: problem.message });
  });
}
