import test from 'ava';

import { encodeCommand } from '../../../ts/stream/command.ts';
import { readStreamIndex, walkStream } from '../../../ts/stream/index.ts';
import { encodeFooter, encodeSectionContinuation, encodeSectionHeader } from '../../../ts/stream/section.ts';
import { encodeZeroPage } from '../../../ts/stream/write/encode-pages.ts';
import { encodeEmptyRamSection, encodePlainRamStart } from '../../../ts/stream/write/encode-ram.ts';
import { beginning, failure, model, plain, RAM, withPlainStart, word } from '../broken-streams.ts';
import { buildStream, type StreamBuilder } from '../../support/stream-builder.ts';
import { collect, StrictReader } from '../strict-reader.ts';

const BITMAP = { sectionId: 2, idstr: 'dirty-bitmap', instanceId: 0, versionId: 1 };

function blockEntry(id: string, length: number, pageSize?: number): Uint8Array {
  const parts = [Uint8Array.of(id.length), new TextEncoder().encode(id), word(length)];
  return new Uint8Array(Buffer.concat(pageSize === undefined ? parts : [...parts, word(pageSize)]));
}

/** RAM START of a plain stream with hand-made entries. */
function withEntries(total: number, ...entries: readonly Uint8Array[]): StreamBuilder {
  const builder = beginning()
    .raw(encodeSectionHeader('start', RAM))
    .raw(word(total + 4));
  for (const entry of entries) builder.raw(entry);
  return builder.raw(word(0x10)).raw(encodeFooter(1));
}

test("with postcopy-ram a block's page size stands behind its length, when it is not the host's", async (t) => {
  const small = blockEntry('small', 0x1000);
  const huge = blockEntry('huge', 0x400000, 0x200000);
  for (const entries of [
    [huge, small],
    [small, huge],
  ]) {
    const { bytes } = withEntries(0x401000, ...entries).raw(Uint8Array.of(0));
    const index = await readStreamIndex(new StrictReader(bytes));
    t.true(index.complete);
    const sizes = index.ram?.blocks.map(({ id, pageSize }) => [id, pageSize]);
    t.deepEqual(
      sizes,
      entries[0] === huge
        ? [
            ['huge', 0x200000],
            ['small', undefined],
          ]
        : [
            ['small', undefined],
            ['huge', 0x200000],
          ],
    );
  }
});

test('a page size that is none is refused', async (t) => {
  const error = await failure(withEntries(0x2000, blockEntry('a', 0x2000, 0x3000)).bytes);
  t.regex(error.message, /page size of a RAM block/);
  t.is(error.found, 0x3000);
});

test('CONTINUE means the block of the last record, whichever section that was in', async (t) => {
  const [page, zero] = [encodeZeroPage('a', 0), encodeZeroPage('a', 4096, { sameBlock: true })];
  const part = [encodeSectionContinuation('part', 1), page, word(0x10), encodeFooter(1)];
  const end = [encodeSectionContinuation('end', 1), zero, word(0x10), encodeFooter(1)];
  const bytes = withPlainStart(...part, encodeCommand(11), ...end, Uint8Array.of(0));
  const pages = (await collect(walkStream(new StrictReader(bytes)))).filter(
    (record) => record.type === 'ram-page',
  );
  t.deepEqual(
    pages.map(({ block, blockOffset }) => [block, blockOffset]),
    [
      ['a', 0],
      ['a', 4096],
    ],
  );
});

test('sections of dirty bitmaps without bitmaps are walked, others are opaque', async (t) => {
  const start = [encodeSectionHeader('start', BITMAP), Uint8Array.of(1), encodeFooter(2)];
  const end = [encodeSectionContinuation('end', 2), Uint8Array.of(1), encodeFooter(2)];
  const bytes = withPlainStart(...start, encodeEmptyRamSection('end'), ...end, Uint8Array.of(0));
  const index = await readStreamIndex(new StrictReader(bytes));
  t.true(index.complete);
  t.deepEqual(
    index.sections.map(({ idstr, kind, bodyLength, early }) => ({ idstr, kind, bodyLength, early })),
    [
      { idstr: 'dirty-bitmap', kind: 'start', bodyLength: 1, early: true },
      { idstr: 'dirty-bitmap', kind: 'end', bodyLength: 1, early: false },
    ],
  );
  const late = withPlainStart(...start, encodeEmptyRamSection('part'), ...end, encodeEmptyRamSection('end'));
  const { sections } = await readStreamIndex(new StrictReader(late));
  t.deepEqual(
    sections.map(({ kind, early }) => [kind, early]),
    [
      ['start', true],
      ['end', false],
    ],
  );
  const full = withPlainStart(encodeSectionHeader('start', BITMAP), Uint8Array.of(0x12, 4), encodeFooter(2));
  const opaque = await readStreamIndex(new StrictReader(full));
  t.regex(opaque.problem?.message ?? '', /nothing describes the body of section dirty-bitmap/);
});

test('a section START that nothing describes makes the rest opaque', async (t) => {
  const start = withPlainStart();
  const vfio = encodeSectionHeader('start', {
    sectionId: 9,
    idstr: '0000:00:03.0/vfio',
    instanceId: 0,
    versionId: 1,
  });
  const bytes = withPlainStart(vfio, new Uint8Array(100));
  const last = (await collect(walkStream(new StrictReader(bytes)))).at(-1);
  t.like(last, { type: 'opaque', offset: start.length, length: bytes.length - start.length });
});

test('RAM may come after the devices', async (t) => {
  const { bytes } = buildStream(model);
  // The builder writes in QEMU's order, so the test puts its parts together anew.
  const index = await readStreamIndex(new StrictReader(bytes));
  const [device] = index.sections;
  const cut = (offset = 0, length = 0): Uint8Array => bytes.subarray(offset, offset + length);
  const ram = encodePlainRamStart({ configuration: plain, blocks: model.blocks });
  const head = beginning().bytes;
  const moved = Buffer.concat([
    head,
    cut(device?.offset, device?.length),
    ram.subarray(head.length),
    Uint8Array.of(0),
    cut(index.vmdescription?.offset, index.vmdescription?.length),
  ]);
  const found = await readStreamIndex(new StrictReader(new Uint8Array(moved)));
  t.is(found.problem, undefined);
  t.is(found.ram?.blocks.length, 2);
  t.is(found.sections[0]?.offset, head.length);
});

test('a bitmap may lie anywhere, even behind the vmdescription', async (t) => {
  const { bytes, records } = buildStream(model);
  const block = records.find((record) => record.type === 'ram-block');
  const moved = new Uint8Array(bytes.length + 11);
  moved.set(bytes);
  new DataView(moved.buffer).setBigUint64((block?.mapped?.headerOffset ?? 0) + 12, BigInt(bytes.length + 3));
  const index = await readStreamIndex(new StrictReader(moved));
  t.true(index.complete);
  t.like(index.ram?.blocks[0], {
    area: { bitmapOffset: bytes.length + 3, length: block?.blockLength, pageSize: 4096 },
  });
  t.deepEqual(index.trailing, { offset: bytes.length, length: 11 });
});

test('a mapped-ram header of version 0 is read as QEMU reads it', async (t) => {
  const { bytes, records } = buildStream(model);
  const block = records.find((record) => record.type === 'ram-block');
  bytes[(block?.mapped?.headerOffset ?? 0) + 3] = 0;
  const index = await readStreamIndex(new StrictReader(bytes));
  t.true(index.complete);
  t.like(index.ram?.blocks[0], { headerVersion: 0 });
});

test('target page bits decide about the page size', async (t) => {
  const configuration = { ...model.configuration, targetPageBits: 14 };
  const blocks = [{ id: 'a', length: 0x8000 }];
  const { bytes } = buildStream({ ...model, configuration, blocks });
  const index = await readStreamIndex(new StrictReader(bytes));
  t.true(index.complete);
  t.is(index.ram?.targetPageSize, 0x4000);
});

test('a page size of 8 KiB is taken from the vmdescription, for architectures that have no other', async (t) => {
  const json = '{"page_size": 8192, "devices": []}';
  const entry = blockEntry('a', 0x4000);
  const builder = withEntries(0x4000, entry).raw(encodeSectionContinuation('end', 1));
  builder
    .raw(encodeZeroPage('a', 0x2000, { targetPageSize: 8192 }))
    .raw(word(0x10))
    .raw(encodeFooter(1));
  builder.raw(Uint8Array.of(0, 6, 0, 0, 0, json.length)).raw(new TextEncoder().encode(json));
  const index = await readStreamIndex(new StrictReader(builder.bytes));
  t.true(index.complete);
  t.is(index.ram?.targetPageSize, 8192);
});

test('a name keeps its byte order mark', async (t) => {
  const blocks = [{ id: '\ufeffpc.ram', length: 4096 }];
  const { bytes, records } = buildStream({ ...model, blocks });
  t.deepEqual(await collect(walkStream(new StrictReader(bytes))), [...records]);
});

test('a walk can be left at any record', async (t) => {
  for await (const record of walkStream(new StrictReader(buildStream(model).bytes))) {
    if (record.type === 'ram-block') break;
  }
  t.pass();
});
