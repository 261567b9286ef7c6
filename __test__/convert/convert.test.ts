import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';

import { convert, pack, Snapshot, unpack, verify, type ConvertOptions } from '../../ts/index.ts';
import { encodeSectionContinuation } from '../../ts/stream/section.ts';
import { encodeZeroPage } from '../../ts/stream/write/encode-pages.ts';
import { encodeRamEos } from '../../ts/stream/write/encode-ram.ts';
import { libvirtBeginning } from '../support/libvirt.ts';
import { memoryOf } from '../support/memory-of.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { DEVICE_BYTES, EARLY_BYTES, plainStream, type PageWrite } from '../support/plain-stream.ts';
import { PAGE, testPage } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';
import { inChunks } from '../stream/in-chunks.ts';

const BLOCKS = [
  { id: 'pc.ram', length: 40 * PAGE },
  { id: 'pc.bios', length: 3 * PAGE },
];

/** QEMU's first round: every page once, and every third is zero. */
const FIRST: readonly PageWrite[] = BLOCKS.flatMap(({ id, length }) =>
  Array.from({ length: length / PAGE }, (_, page) => ({
    block: id,
    page,
    bytes: testPage(page),
    kind: page % 3 === 0 ? ('zero' as const) : ('page' as const),
  })),
);

const step = fc.record({
  block: fc.nat({ max: BLOCKS.length - 1 }),
  page: fc.nat({ max: 39 }),
  kind: fc.constantFrom('page', 'zero', 'xbzrle', 'xbzrle', 'compressed'),
  fill: fc.nat({ max: 255 }),
  at: fc.nat({ max: PAGE - 9 }),
});

/** Rounds of records. Each record fits what its page holds by then. */
const rounds = fc.array(fc.array(step, { maxLength: 30 }), { minLength: 1, maxLength: 3 }).map((lists) => {
  const memory = new Map<string, Uint8Array>();
  for (const { block, page, bytes, kind } of FIRST) {
    memory.set(`${block} ${page}`, kind === 'zero' ? new Uint8Array(PAGE) : bytes);
  }
  const all: (readonly PageWrite[])[] = [FIRST];
  for (const list of lists) {
    const writes = list.map(({ block, page: number, kind, fill, at }): PageWrite => {
      const { id = '', length = 0 } = BLOCKS[block] ?? {};
      const page = number % (length / PAGE);
      const before = memory.get(`${id} ${page}`) ?? new Uint8Array(PAGE);
      const bytes =
        kind === 'xbzrle' ? before.slice().fill(fill, at, at + 9) : new Uint8Array(PAGE).fill(fill);
      memory.set(`${id} ${page}`, kind === 'zero' ? new Uint8Array(PAGE) : bytes);
      return { block: id, page, bytes, kind };
    });
    all.push(writes);
  }
  return all;
});

/** Asserts that exactly the pages with data have their bits set, and that the file reads as zeros elsewhere. */
async function assertTight(
  t: ExecutionContext,
  path: string,
  memory: ReadonlyMap<string, Buffer>,
): Promise<void> {
  const bytes = await readFile(path);
  await using snapshot = await Snapshot.open(path);
  t.true(snapshot.index.complete);
  for (const { id, area } of snapshot.completeRam().blocks) {
    const { length, pagesOffset, bitmapOffset } = area;
    t.is(
      Buffer.compare(bytes.subarray(pagesOffset, pagesOffset + length), memory.get(id) ?? Buffer.alloc(0)),
      0,
    );
    for (let page = 0; page < length / PAGE; page += 1) {
      const content = memory.get(id)?.subarray(page * PAGE, (page + 1) * PAGE);
      const isSet = ((bytes[bitmapOffset + (page >> 3)] ?? 0) & (1 << (page % 8))) !== 0;
      t.is(isSet, content?.some((byte) => byte !== 0) ?? false, `${id} ${page}`);
    }
  }
}

async function sections(path: string): Promise<readonly unknown[]> {
  const bytes = await readFile(path);
  await using snapshot = await Snapshot.open(path);
  return snapshot.index.sections.map(({ idstr, early, bodyOffset, bodyLength }) => ({
    idstr,
    early,
    body: [...bytes.subarray(bodyOffset, bodyOffset + bodyLength)],
  }));
}

const SECTIONS = [
  { idstr: 'early-device', early: true, body: [...EARLY_BYTES] },
  { idstr: 'test-device', early: false, body: [...DEVICE_BYTES] },
];

test('every kind of record is applied, later ones win, and what becomes zero is a hole', async (t) => {
  await using dir = await temporaryDirectory();
  const [from, to] = [dir.file('stream'), dir.file('mapped')];
  await fc.assert(
    fc.asyncProperty(rounds, async (list) => {
      const { bytes, memory } = plainStream({ blocks: BLOCKS, rounds: list });
      await writeFile(from, bytes);
      const { dataBytes } = await convert(from, to, { overwrite: true });
      t.deepEqual(await memoryOf(to), memory);
      await assertTight(t, to, memory);
      t.deepEqual(await sections(to), SECTIONS);
      await using snapshot = await Snapshot.open(to);
      const set = (await snapshot.info()).blocks.reduce((sum, block) => sum + block.setPages, 0);
      t.is(dataBytes, set * PAGE);
    }),
    { numRuns: 25 },
  );
});

test('pack takes the same records', async (t) => {
  await using dir = await temporaryDirectory();
  const [state, to] = [dir.file('state'), dir.file('mapped')];
  await fc.assert(
    fc.asyncProperty(rounds, async (list) => {
      const { bytes, memory } = plainStream({ blocks: BLOCKS, rounds: list });
      await writeFile(state, bytes);
      await pack(to, { state, overwrite: true, directIo: 'off' });
      await assertTight(t, to, memory);
    }),
    { numRuns: 10 },
  );
});

/** The second round of a stream, with a record of each kind. */
const SECOND: readonly PageWrite[] = [
  { block: 'pc.ram', page: 1, bytes: new Uint8Array(PAGE), kind: 'zero' },
  { block: 'pc.ram', page: 2, bytes: new Uint8Array(PAGE), kind: 'page' },
  { block: 'pc.ram', page: 3, bytes: new Uint8Array(PAGE).fill(9, 7, 8), kind: 'xbzrle' },
  { block: 'pc.bios', page: 2, bytes: testPage(99), kind: 'compressed' },
];

interface Example extends AsyncDisposable {
  readonly dir: TemporaryDirectory;
  readonly stream: string;
  readonly bytes: Buffer;
  readonly memory: ReadonlyMap<string, Buffer>;
}

async function example(): Promise<Example> {
  const dir = await temporaryDirectory();
  const { bytes, memory } = plainStream({ blocks: BLOCKS, rounds: [FIRST, SECOND] });
  const stream = dir.file('guest.stream');
  await writeFile(stream, bytes);
  return { dir, stream, bytes, memory, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

test('to mapped-ram and back: the same memory, the same devices, the same vmdescription', async (t) => {
  await using it = await example();
  const [mapped, back] = [it.dir.file('mapped'), it.dir.file('back')];
  t.like(await convert(it.stream, mapped), {
    path: mapped,
    offset: 0,
    from: 'stream',
    to: 'mapped-ram',
    source: { path: it.stream, offset: 0 },
    blocks: BLOCKS,
    bytes: 43 * PAGE,
    size: (await stat(mapped)).size,
    transfer: undefined,
  });
  const result = await convert(mapped, back, { to: 'stream' });
  t.like(result, { from: 'mapped-ram', to: 'stream', size: (await stat(back)).size });
  t.deepEqual(await memoryOf(back), it.memory);
  t.deepEqual(await sections(back), SECTIONS);
  const tail = it.bytes.subarray(it.bytes.indexOf('{"page_size"'));
  t.true((await readFile(back)).subarray(-tail.length).equals(tail));
  // The record of a zero page takes nine bytes.
  t.true(result.size < it.bytes.length);
});

for (const way of WAYS) {
  test(`a mapped-ram file moves to another offset, stale bytes and zero pages stay behind: ${way.ioEngine}, direct I/O ${way.directIo}`, async (t) => {
    await using it = await example();
    const [mapped, moved] = [it.dir.file('mapped'), it.dir.file('moved')];
    await convert(it.stream, mapped);
    // A live save leaves bytes under a clear bit, and a set page that is zero.
    await using snapshot = await Snapshot.open(mapped);
    const [block] = snapshot.completeRam().blocks;
    const { pagesOffset = 0, bitmapOffset = 0 } = block?.area ?? {};
    await using handle = await open(mapped, 'r+');
    await handle.write(testPage(1000), 0, PAGE, pagesOffset);
    const bitmap = Buffer.alloc(1);
    await handle.read(bitmap, 0, 1, bitmapOffset);
    t.is(bitmap[0], 0b1011_1000);
    await handle.write(Buffer.of(0b1011_1010), 0, 1, bitmapOffset);
    t.deepEqual(await memoryOf(mapped), it.memory);

    await writeFile(moved, Buffer.alloc(12_345, 'x'));
    const result = await convert(mapped, `file:${moved},offset=12345`, { ...way });
    t.is(result.transfer?.ioEngine, way.ioEngine);
    t.is(result.transfer?.directIo, way.directIo === 'on');
    t.like(result, { offset: 12_345, from: 'mapped-ram', to: 'mapped-ram', size: (await stat(moved)).size });
    t.true((await readFile(moved)).subarray(0, 12_345).every((byte) => byte === 0x78));
    t.deepEqual(await memoryOf(moved, 12_345), it.memory);
    const back = it.dir.file('back');
    await convert(`file:${moved},offset=12345`, back, { ...way });
    await assertTight(t, back, it.memory);
    t.deepEqual(await sections(back), SECTIONS);
  });
}

test('a pipe is read once, in whatever pieces it comes', async (t) => {
  await using it = await example();
  const to = it.dir.file('mapped');
  for (const cuts of [[1], [4096], [70_000, 3], []]) {
    const result = await convert(inChunks(it.bytes, cuts), to, { overwrite: true });
    t.like(result, { from: 'stream', source: { path: 'stream', offset: 0 } });
    await assertTight(t, to, it.memory);
    t.deepEqual(await sections(to), SECTIONS);
  }
  await convert(Readable.from(inChunks(it.bytes, [1000])), to, { overwrite: true });
  await assertTight(t, to, it.memory);
});

const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux('a pipe that has a name is read like any other, also before there is a writer', async (t) => {
  await using it = await example();
  const [fifo, to] = [it.dir.file('fifo'), it.dir.file('mapped')];
  await promisify(execFile)('mkfifo', [fifo]);
  for (const offset of [0, 70_000]) {
    const running = convert(`file:${fifo},offset=${offset}`, to, { overwrite: true });
    await writeFile(fifo, Buffer.concat([Buffer.alloc(offset), it.bytes]));
    t.like(await running, { from: 'stream', source: { path: fifo, offset } });
    await assertTight(t, to, it.memory);
  }
  const reason = new Error('enough');
  const controller = new AbortController();
  const waiting = convert(fifo, to, { overwrite: true, signal: controller.signal });
  setTimeout(() => controller.abort(reason), 50);
  t.is(await t.throwsAsync(waiting), reason);
});

test('a stream goes into a Writable, which is left open', async (t) => {
  await using it = await example();
  const mapped = it.dir.file('mapped');
  await convert(it.stream, mapped);
  const parts: Buffer[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      // The bytes may change after `done`.
      parts.push(Buffer.from(chunk));
      setImmediate(done);
    },
  });
  const result = await convert(mapped, sink, { to: 'stream' });
  t.is(result.size, Buffer.concat(parts).length);
  t.false(sink.writableEnded);
  await writeFile(it.dir.file('out'), Buffer.concat(parts));
  t.deepEqual(await memoryOf(it.dir.file('out')), it.memory);
  const broken = new Writable({ write: (_, __, done) => done(new Error('the pipe is gone')) });
  await t.throwsAsync(convert(mapped, broken, { to: 'stream' }), {
    code: 'ERR_MAPPED_RAM_IO',
    message: /the pipe is gone/,
  });
  await t.throwsAsync(convert(it.stream, sink), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});

test('descriptors are read and written in place, and stay open', async (t) => {
  await using it = await example();
  await using source = await open(it.stream);
  await using target = await open(it.dir.file('mapped'), 'w+');
  await convert({ fd: source.fd }, { fd: target.fd, offset: 4096 });
  await using stream = await open(it.dir.file('back'), 'w+');
  await stream.write(Buffer.alloc(100_000, 'x'));
  await convert({ fd: target.fd, offset: 4096 }, { fd: stream.fd, offset: 100 }, { to: 'stream' });
  t.deepEqual(await memoryOf(it.dir.file('back'), 100), it.memory);
  t.true((await source.stat()).isFile());
});

async function setPages(path: string): Promise<readonly number[]> {
  await using snapshot = await Snapshot.open(path);
  return (await snapshot.info()).blocks.map((block) => block.setPages);
}

test('firmware keeps its zero pages, others on demand', async (t) => {
  await using dir = await temporaryDirectory();
  const blocks = [
    { id: 'system.flash0', length: 9 * PAGE },
    { id: 'pc.ram', length: 9 * PAGE },
  ];
  const writes = blocks.flatMap(({ id }) =>
    Array.from({ length: 9 }, (_, page) => ({
      block: id,
      page,
      bytes: testPage(page),
      kind: page % 2 === 0 ? ('zero' as const) : ('page' as const),
    })),
  );
  // The last record of a page decides, also for a page that had data before. A delta applies to the page as it is now.
  const second = [
    { block: 'system.flash0', page: 1, bytes: testPage(1), kind: 'zero' as const },
    { block: 'system.flash0', page: 1, bytes: new Uint8Array(PAGE).fill(5, 3, 6), kind: 'xbzrle' as const },
    { block: 'system.flash0', page: 3, bytes: testPage(3), kind: 'zero' as const },
  ];
  const { bytes, memory } = plainStream({ blocks, rounds: [writes, second] });
  const [stream, mapped, again] = [dir.file('stream'), dir.file('mapped'), dir.file('again')];
  const back = dir.file('back');
  await writeFile(stream, bytes);
  for (const [storeZeroPages, expected] of [
    [undefined, [9, 4]],
    ['all', [9, 9]],
    [['pc.ram'], [3, 9]],
    [[], [3, 4]],
  ] as const) {
    const options: ConvertOptions = { storeZeroPages, overwrite: true, directIo: 'off' };
    await convert(stream, mapped, options);
    t.deepEqual(await setPages(mapped), [...expected]);
    t.deepEqual(await memoryOf(mapped), memory);
    await convert(mapped, again, options);
    t.deepEqual(await setPages(again), [...expected]);
    t.deepEqual(await memoryOf(again), memory);
    // A zero page becomes a zero record of the stream, whether its bit is set or not.
    const { dataBytes } = await convert(mapped, back, { to: 'stream', overwrite: true });
    t.is(dataBytes, 7 * PAGE);
    t.deepEqual(await memoryOf(back), memory);
  }
});

test('zero pages that were stored stay stored on every way, but for the guest’s RAM', async (t) => {
  await using dir = await temporaryDirectory();
  const ids = ['pc.ram', 'm0', 'virt.flash1', '0000:00:02.0/vga.vram'];
  const blocks = ids.map((id) => ({ id, length: 67 * PAGE }));
  const writes = ids.flatMap((block) =>
    Array.from({ length: 67 }, (_, page) => ({
      block,
      page,
      bytes: testPage(page),
      kind: page % 5 === 0 ? ('page' as const) : ('zero' as const),
    })),
  );
  const { bytes, memory } = plainStream({ blocks, rounds: [writes] });
  const [stream, all, moved, back] = ['stream', 'all', 'moved', 'back'].map((name) => dir.file(name));
  assert(stream !== undefined && all !== undefined && moved !== undefined && back !== undefined);
  await writeFile(stream, bytes);
  const stored = ids.map((id) => (id === 'virt.flash1' ? 67 : 14));
  await convert(stream, all);
  t.deepEqual(await setPages(all), stored);
  await convert(all, moved);
  t.deepEqual(await setPages(moved), stored);
  await convert(moved, back, { to: 'stream' });
  await convert(back, moved, { overwrite: true });
  t.deepEqual(await setPages(moved), stored);

  await convert(stream, all, { storeZeroPages: 'all', overwrite: true });
  for (const options of [{}, { storeZeroPages: 'firmware' }, { storeZeroPages: [] }] as const) {
    await convert(all, `file:${moved},offset=4096`, { ...options, overwrite: true });
    await using snapshot = await Snapshot.open({ path: moved, offset: 4096 });
    const { blocks: found } = await snapshot.info();
    t.deepEqual(
      found.map(({ setPages: pages }) => pages),
      [14, 67, 67, 67],
    );
    t.deepEqual(await memoryOf(moved, 4096), memory);
    t.like(await verify({ path: moved, offset: 4096 }), { findings: [], verified: true });
  }
  const target = new MemoryStorage();
  await convert(all, { storage: target });
  await convert({ storage: target }, back, { storeZeroPages: [], overwrite: true });
  t.deepEqual(await setPages(back), [14, 67, 67, 67]);
  t.deepEqual(await memoryOf(back), memory);
});

test('a libvirt save image is opened at the stream in it', async (t) => {
  await using it = await example();
  const image = it.dir.file('save.img');
  const beginning = libvirtBeginning('raw');
  await writeFile(image, Buffer.concat([beginning, it.bytes]));
  const [mapped, again] = [it.dir.file('mapped'), it.dir.file('again')];
  const result = await convert(image, mapped);
  t.like(result.source, { path: image, offset: beginning.length });
  await assertTight(t, mapped, it.memory);
  await convert(inChunks(await readFile(image), [777]), again);
  await assertTight(t, again, it.memory);
  await pack(it.dir.file('packed'), { state: image, directIo: 'off' });
  await assertTight(t, it.dir.file('packed'), it.memory);

  // The sparse format is a mapped-ram file behind the header.
  const sparse = it.dir.file('sparse.img');
  const start = libvirtBeginning('sparse');
  await writeFile(sparse, start);
  await convert(it.stream, `file:${sparse},offset=${start.length}`);
  await using snapshot = await Snapshot.open(sparse);
  t.like(await snapshot.info(), { offset: start.length, form: 'mapped-ram', complete: true });
  t.deepEqual(await memoryOf(sparse, start.length), it.memory);
  await unpack(sparse, { ram: { 'pc.ram': it.dir.file('ram') } });
  t.deepEqual(await readFile(it.dir.file('ram')), it.memory.get('pc.ram'));
  await convert(sparse, again, { overwrite: true });
  await assertTight(t, again, it.memory);

  for (const [options, code] of [
    [{ format: 5 }, 'ERR_MAPPED_RAM_UNSUPPORTED'],
    [{ magic: 'LibvirtQemudPart' }, 'ERR_MAPPED_RAM_INCOMPLETE'],
    [{ dataLength: 0xffff_ffff }, 'ERR_MAPPED_RAM_TRUNCATED'],
    [{ dataLength: 7 }, 'ERR_MAPPED_RAM_BAD_MAGIC'],
  ] as const) {
    await writeFile(image, Buffer.concat([libvirtBeginning('raw', options), it.bytes]));
    await t.throwsAsync(Snapshot.open(image), { code });
    await t.throwsAsync(convert(image, again, { overwrite: true }), { code });
    await t.throwsAsync(convert(inChunks(await readFile(image), []), again, { overwrite: true }), { code });
  }
});

test('the seal of what is replaced goes with it, and stays where nothing is replaced', async (t) => {
  await using it = await example();
  const [mapped, other] = [it.dir.file('mapped'), it.dir.file('other')];
  await convert(it.stream, mapped);
  await convert(mapped, other, { storeZeroPages: 'all' });
  for (const [source, to] of [
    [other, 'mapped-ram'],
    [it.stream, 'mapped-ram'],
    [other, 'stream'],
  ] as const) {
    await verify(mapped, { seal: true });
    await t.throwsAsync(convert(source, mapped, { to }), { code: 'ERR_MAPPED_RAM_EXISTS' });
    t.is((await verify(mapped)).seal?.state, 'checked');
    await convert(source, mapped, { to, overwrite: true });
    t.deepEqual(
      (await readdir(it.dir.path)).filter((name) => name.endsWith('.seal')),
      [],
    );
    if (to === 'mapped-ram') t.like(await verify(mapped), { findings: [], verified: true });
  }
});

test('a libvirt image whose stream would start behind its end is told so', async (t) => {
  await using dir = await temporaryDirectory();
  const image = dir.file('save.img');
  await writeFile(image, libvirtBeginning('raw', { dataLength: 1_000_000 }));
  const { size } = await stat(image);
  for (const opening of [Snapshot.open(image), convert(image, dir.file('mapped'))]) {
    const error = await t.throwsAsync(opening, {
      code: 'ERR_MAPPED_RAM_TRUNCATED',
      message: /the stream starts behind the end of the file/,
    });
    t.like(error, { path: image, offset: 1_000_092, expected: `an offset of at most ${size}` });
  }
});

test('what is wrong behind the memory is told with its place in the source', async (t) => {
  await using it = await example();
  const { bytes } = it;
  const eof = bytes.indexOf('{"page_size"') - 6;
  const footer = bytes.indexOf(DEVICE_BYTES) + DEVICE_BYTES.length;
  const broken = Buffer.from(bytes);
  broken.writeUInt32BE(99, footer + 1);
  const cases = [
    bytes.subarray(0, -1),
    bytes.subarray(0, eof + 1),
    bytes.subarray(0, eof),
    bytes.subarray(0, footer),
    bytes.subarray(0, footer - 3),
    broken,
  ];
  for (const content of cases) {
    await writeFile(it.stream, content);
    await using snapshot = await Snapshot.open(it.stream);
    const { problem } = snapshot.index;
    t.truthy(problem);
    const error = await t.throwsAsync(convert(it.stream, it.dir.file('mapped')), {
      code: 'ERR_MAPPED_RAM_INCOMPLETE',
      message: `the stream is not complete: ${problem?.message}`,
    });
    t.like(error?.cause, { path: it.stream, offset: problem?.offset });
    // The error of a pipe differs only in the name, and in that it says stream, not file.
    const piped = problem?.message.replace(it.stream, 'stream').replace('the file ends', 'the stream ends');
    await t.throwsAsync(convert(inChunks(content, [777]), it.dir.file('mapped')), {
      message: `the stream is not complete: ${piped}`,
    });
  }
});

const REFUSED: readonly {
  readonly what: string;
  readonly bytes: (whole: Buffer) => Buffer;
  readonly code: string;
}[] = [
  { what: 'nothing', bytes: () => Buffer.alloc(0), code: 'ERR_MAPPED_RAM_TRUNCATED' },
  { what: 'no stream', bytes: () => Buffer.alloc(5000), code: 'ERR_MAPPED_RAM_BAD_MAGIC' },
  {
    what: 'a stream cut off in its RAM',
    bytes: (whole) => whole.subarray(0, 60_000),
    code: 'ERR_MAPPED_RAM_TRUNCATED',
  },
  {
    what: 'a stream cut off at its end',
    bytes: (whole) => whole.subarray(0, -1),
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
  },
  {
    what: 'a stream without vmdescription',
    bytes: (whole) => whole.subarray(0, whole.indexOf('{"page_size"') - 5),
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
  },
  {
    what: 'a stream that lacks the memory of a block',
    bytes: () =>
      plainStream({ blocks: BLOCKS, rounds: [FIRST.filter(({ block }) => block === 'pc.ram')] }).bytes,
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  },
  {
    what: 'a block that claims to be larger than any file',
    bytes: () => plainStream({ blocks: [{ id: 'pc.ram', length: PAGE }], rounds: [FIRST.slice(0, 1)] }).bytes,
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
  },
  {
    what: 'a page behind the end of RAM',
    bytes: (whole) => {
      const at = whole.indexOf('test-device') - 6;
      const section = [encodeSectionContinuation('part', 1), encodeZeroPage('pc.ram', 0), encodeRamEos()];
      return Buffer.concat([whole.subarray(0, at), ...section, whole.subarray(at)]);
    },
    code: 'ERR_MAPPED_RAM_CORRUPT',
  },
  {
    what: 'zlib data that gives no page',
    bytes: (whole) => {
      const changed = Buffer.from(whole);
      changed[changed.lastIndexOf(Buffer.of(0x78, 0x9c)) + 1] = 0;
      return changed;
    },
    code: 'ERR_MAPPED_RAM_CORRUPT',
  },
];

for (const { what, bytes, code } of REFUSED) {
  test(`refused, with nothing left behind: ${what}`, async (t) => {
    await using it = await example();
    let content = bytes(it.bytes);
    if (code === 'ERR_MAPPED_RAM_OUT_OF_RANGE') {
      content = Buffer.from(content);
      for (const at of [content.indexOf('ram') + 11, content.indexOf('pc.ram') + 6]) {
        content.writeUInt32BE(0x1f_ffff, at);
      }
    }
    await writeFile(it.stream, content);
    const before = await readdir(it.dir.path);
    await t.throwsAsync(convert(it.stream, it.dir.file('mapped')), { code });
    await t.throwsAsync(convert(inChunks(content, [10_000]), it.dir.file('mapped')), { code });
    t.deepEqual(await readdir(it.dir.path), before);
  });
}

test('what makes no sense is refused before anything is written', async (t) => {
  await using it = await example();
  const [mapped, other] = [it.dir.file('mapped'), it.dir.file('other')];
  await convert(it.stream, mapped);
  const before = await readdir(it.dir.path);
  const refused = async (code: string, ...[from, to, options]: Parameters<typeof convert>): Promise<void> => {
    await t.throwsAsync(convert(from, to, options), { code });
  };
  await refused('ERR_MAPPED_RAM_EXISTS', it.stream, mapped);
  await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', it.stream, other, { to: 'stream' });
  await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', mapped, mapped, { overwrite: true });
  for (const idle of [
    { ioEngine: 'threads' },
    { directIo: 'on' },
    { channels: 2 },
    { queueDepth: 1 },
    { requestSize: 4096 },
  ] as const) {
    await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', it.stream, other, idle);
    await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', mapped, other, { to: 'stream', ...idle });
  }
  for (const storeZeroPages of ['firmware', 'all', ['nope']] as const) {
    await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', mapped, other, { to: 'stream', storeZeroPages });
  }
  await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', mapped, other, { storeZeroPages: ['pc.rma'] });
  await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', it.stream, other, { storeZeroPages: ['pc.rma'] });
  await refused('ERR_MAPPED_RAM_UNSUPPORTED', 'tcp:localhost:4444', other);
  await refused('ERR_MAPPED_RAM_IO', it.dir.file('nothing'), other);
  await refused('ERR_MAPPED_RAM_UNSUPPORTED', inChunks(await readFile(mapped), []), other);
  await refused('ERR_MAPPED_RAM_INVALID_ARGUMENT', Readable.from(['text']), other);
  t.deepEqual(await readdir(it.dir.path), before);
});

for (const form of ['mapped-ram', 'stream'] as const) {
  test(`an abort on the way to ${form} leaves nothing and rejects with its reason`, async (t) => {
    await using it = await example();
    const mapped = it.dir.file('mapped');
    await convert(it.stream, mapped);
    const before = await readdir(it.dir.path);
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = (): void => controller.abort(reason);
    const [source, to] = form === 'stream' ? [mapped, form] : [it.stream, form];
    const running = convert(source, it.dir.file('other'), { to, signal: controller.signal, onProgress });
    t.is(await t.throwsAsync(running), reason);
    t.deepEqual(await readdir(it.dir.path), before);
  });
}

test('an abort while a pipe is silent does not wait for it', async (t) => {
  await using it = await example();
  const before = await readdir(it.dir.path);
  const pipe = new Readable({ read: () => undefined });
  pipe.push(it.bytes.subarray(0, 50_000));
  const reason = new Error('enough');
  const controller = new AbortController();
  const running = convert(pipe, it.dir.file('other'), { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 50);
  t.is(await t.throwsAsync(running), reason);
  t.true(pipe.destroyed);
  t.deepEqual(await readdir(it.dir.path), before);
});

test('progress counts guest memory up to all of it', async (t) => {
  await using it = await example();
  const mapped = it.dir.file('mapped');
  for (const [source, to, form] of [
    [it.stream, mapped, 'mapped-ram'],
    [mapped, it.dir.file('back'), 'stream'],
  ] as const) {
    const seen: number[] = [];
    const { bytes } = await convert(source, to, {
      to: form,
      onProgress: ({ bytesDone, bytesTotal }) => {
        t.is(bytesTotal, 43 * PAGE);
        seen.push(bytesDone);
      },
    });
    t.is(seen.at(-1), bytes);
    t.deepEqual(
      seen,
      seen.toSorted((left, right) => left - right),
    );
  }
});
