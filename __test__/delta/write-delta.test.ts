import { copyFile, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import {
  convert,
  diff,
  extract,
  flatten,
  MappedRamError,
  Snapshot,
  unpack,
  verify,
  writeDelta,
  type SnapshotSource,
} from '../../ts/index.ts';
import { DELTA_HEAD_BYTES } from '../../ts/stream/constants.ts';
import { readStreamIndex } from '../../ts/stream/index.ts';
import { memoryOf as memoryOfFile } from '../support/memory-of.ts';
import { OpenFile } from '../support/open-reader.ts';
import { PAGE } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { changedPages, GUEST, memoryOf, twoSnapshots, writeSnapshot } from './two-snapshots.ts';

/** Compares the memory in a whole file with what every block held later. */
async function assertLater(t: ExecutionContext, path: string): Promise<void> {
  const memory = await memoryOfFile(path);
  t.is(memory.size, GUEST.length, path);
  for (const { id, after } of GUEST) {
    t.is(Buffer.compare(memory.get(id) ?? Buffer.alloc(0), memoryOf(after)), 0, `${path}: ${id}`);
  }
}

test('a delta has the pages that differ, and reads with its base as the later guest', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta, base, result } = await twoSnapshots(dir, GUEST);
  t.is(result.path, delta);
  t.is(result.base, base);
  t.is(result.size, (await stat(delta)).size);
  for (const [index, block] of GUEST.entries()) {
    const zeros = changedPages(block).filter((page) => block.after[page] === 'zero').length;
    t.deepEqual(result.blocks[index], { id: block.id, pages: changedPages(block).length, zeroPages: zeros });
  }
  await using snapshot = await Snapshot.open(delta);
  for (const { id, after } of GUEST) {
    const memory = memoryOf(after);
    t.is(Buffer.compare(await snapshot.read(id, 0, memory.length), memory), 0, id);
    // Reads that begin and end within pages.
    const part = await snapshot.read(id, 100, PAGE * 2);
    t.is(Buffer.compare(part, memory.subarray(100, 100 + PAGE * 2)), 0, id);
  }
});

test('info tells of both files', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta, base } = await twoSnapshots(dir, GUEST);
  await using snapshot = await Snapshot.open(delta);
  const info = await snapshot.info();
  t.like(info, { path: delta, complete: true, ramComplete: true, form: 'mapped-ram' });
  t.is(info.base?.path, base);
  t.is(info.base?.size, (await stat(base)).size);
  t.deepEqual(info.capabilities, ['mapped-ram', 'x-mapped-ram-base']);
  for (const [index, block] of GUEST.entries()) {
    t.is(info.blocks[index]?.changedPages, changedPages(block).length, block.id);
  }
  const [ram] = info.blocks;
  const { before = [], after = [] } = GUEST[0] ?? {};
  t.is(ram?.setPages, after.filter((content, page) => content !== 'zero' || before[page] !== 'zero').length);
  await using whole = await Snapshot.open(base);
  const other = await whole.info();
  t.is(other.base, undefined);
  t.is(other.blocks[0]?.changedPages, undefined);
});

test('verify, diff, extract, convert and unpack take delta and base as one snapshot', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta, later, base } = await twoSnapshots(dir, GUEST);
  const checked = await verify(delta);
  t.deepEqual(checked.findings, []);
  t.true(checked.verified);
  t.not(checked.transfer, undefined);
  t.true((await diff(delta, later)).equal);
  t.true((await diff(later, delta)).equal);
  const changes = await diff(base, delta);
  t.false(changes.equal);
  const [ram] = GUEST;
  const [differing] = changes.blocks;
  t.is(
    (differing?.changed ?? 0) + (differing?.becameZero ?? 0) + (differing?.becameData ?? 0),
    ram === undefined ? -1 : changedPages(ram).length,
  );
  const raw = dir.file('pc.ram.raw');
  await extract(delta, raw, { format: 'raw', block: 'pc.ram' });
  t.is(Buffer.compare(await readFile(raw), memoryOf(ram?.after ?? [])), 0);
  for (const to of ['mapped-ram', 'stream'] as const) {
    const path = dir.file(`converted.${to}`);
    await convert(delta, path, { to });
    await assertLater(t, path);
    await using converted = await Snapshot.open(path);
    t.true(converted.index.complete, to);
    t.deepEqual(converted.index.capabilities, to === 'stream' ? [] : ['mapped-ram'], to);
    t.is(converted.index.vmdescription?.json?.['mapped-ram-base'], undefined, to);
  }
  const files = Object.fromEntries(GUEST.map(({ id }) => [id, dir.file(`${id}.unpacked`)]));
  const unpacked = await unpack(delta, { ram: files, state: dir.file('state') });
  for (const { id, after } of GUEST) {
    t.is(Buffer.compare(await readFile(files[id] ?? ''), memoryOf(after)), 0, id);
  }
  // The engine reads one file after the other.
  t.not(unpacked.transfer?.ioEngine, 'javascript');
  const buffers = Object.fromEntries(
    GUEST.map(({ id, after }) => [id, Buffer.alloc(after.length * PAGE, 5)]),
  );
  await unpack(delta, { ram: buffers });
  for (const { id, after } of GUEST)
    t.is(Buffer.compare(buffers[id] ?? Buffer.alloc(0), memoryOf(after)), 0, id);
  await unpack(delta, { state: dir.file('whole.state') });
  await assertLater(t, dir.file('whole.state'));
});

test('an engine that is asked for is refused for what takes two files at once', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta, later } = await twoSnapshots(dir, GUEST);
  await t.throwsAsync(diff(delta, later, { ioEngine: 'threads' }), {
    code: 'ERR_MAPPED_RAM_ENGINE_UNAVAILABLE',
    message: /delta, whose pages are in two files/,
  });
});

test('both heads name the same places, and the second has no sign of a base', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta } = await twoSnapshots(dir, GUEST);
  await using file = await OpenFile.open(delta);
  const [first, second] = [
    await readStreamIndex(file),
    await readStreamIndex(file, { offset: DELTA_HEAD_BYTES }),
  ];
  t.deepEqual(second.capabilities, ['mapped-ram']);
  t.true(first.complete);
  t.true(second.complete);
  const areas = [first, second].map(({ ram }) =>
    ram?.form === 'mapped-ram' ? ram.blocks.map(({ id, area }) => ({ id, area })) : [],
  );
  t.deepEqual(areas[0], areas[1]);
  const list = areas[0] ?? [];
  t.is(list.length, GUEST.length);
  let bitmap = 2 * DELTA_HEAD_BYTES;
  for (const [index, { area }] of list.entries()) {
    t.is(area.bitmapOffset, bitmap);
    t.is(area.pagesOffset % (index === 0 ? 2 ** 21 : 2 ** 20), 0);
    bitmap += Math.ceil(area.length / PAGE / 64) * 8;
  }
  const words = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /head of a delta.*own beginning/ };
  await t.throwsAsync(Snapshot.open(`file:${delta},offset=${DELTA_HEAD_BYTES}`), words);
});

test('a delta that is somewhere else is a delta at an offset', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, later } = await twoSnapshots(dir, GUEST);
  const path = dir.file('container');
  await writeFile(path, Buffer.alloc(8192, 3));
  await using memory = await Snapshot.open(later);
  const ram = Object.fromEntries(GUEST.map(({ id }) => [id, { memory, compare: true }]));
  const result = await writeDelta({ path, offset: 8192 }, { base, state: memory, ram });
  t.is(result.offset, 8192);
  t.true((await diff({ path, offset: 8192 }, later)).equal);
  t.true((await verify({ path, offset: 8192 })).verified);
  t.is(Buffer.compare((await readFile(path)).subarray(0, 8192), Buffer.alloc(8192, 3)), 0);
});

test('compare leaves out what is as in the base, and all pages are the default', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, later, result } = await twoSnapshots(dir, GUEST);
  await using memory = await Snapshot.open(later);
  const compared = await writeDelta(dir.file('compared'), {
    base,
    state: memory,
    ram: Object.fromEntries(GUEST.map(({ id }) => [id, { memory, compare: true }])),
  });
  t.deepEqual(compared.blocks, result.blocks);
  const all = await writeDelta(dir.file('all'), {
    base,
    state: memory,
    ram: Object.fromEntries(GUEST.map(({ id }) => [id, { memory }])),
  });
  for (const [index, { id, before, after }] of GUEST.entries()) {
    const pages =
      id === 'system.flash0'
        ? after.length
        : after.filter((content, page) => content !== 'zero' || before[page] !== 'zero').length;
    t.is(all.blocks[index]?.pages, pages, id);
  }
  t.true((await diff(dir.file('all'), later)).equal);
  t.true((await diff(dir.file('compared'), later)).equal);
});

test('memory may be in files, descriptors and buffers, too', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, later } = await twoSnapshots(dir, GUEST);
  const [ram, bios, flash] = GUEST.map(({ after }) => memoryOf(after));
  const file = dir.file('ram');
  await writeFile(file, ram ?? '');
  await writeFile(dir.file('bios'), bios ?? '');
  await using handle = await open(dir.file('bios'));
  const path = dir.file('other.delta');
  await writeDelta(path, {
    base,
    state: later,
    ram: {
      'pc.ram': { memory: file, compare: true },
      'pc.bios': { memory: { fd: handle.fd } },
      'system.flash0': { memory: flash ?? Buffer.alloc(0) },
    },
  });
  t.true((await diff(path, later)).equal);
});

test('the base is found beside the delta, where it was, or where the caller says', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta, later } = await twoSnapshots(dir, GUEST);
  const isRight = async (source: SnapshotSource): Promise<boolean> => (await diff(source, later)).equal;
  // The delta alone moves: the base is where it was.
  await mkdir(dir.file('away'));
  await copyFile(delta, dir.file('away/guest.delta'));
  t.true(await isRight(dir.file('away/guest.delta')));
  // Both move: the base is beside the delta.
  await mkdir(dir.file('moved'));
  await rename(base, dir.file('moved/base.mr'));
  await rename(delta, dir.file('moved/guest.delta'));
  t.true(await isRight(dir.file('moved/guest.delta')));
  // Neither: the caller knows.
  await t.throwsAsync(Snapshot.open(dir.file('away/guest.delta')), {
    code: 'ERR_MAPPED_RAM_BASE',
    message: /base\.mr is missing.*--base/,
  });
  t.true(await isRight({ path: dir.file('away/guest.delta'), base: dir.file('moved/base.mr') }));
  await using handle = await open(dir.file('moved/base.mr'));
  t.true(await isRight({ path: dir.file('away/guest.delta'), base: { fd: handle.fd } }));
  await t.throwsAsync(Snapshot.open({ path: later, base: dir.file('moved/base.mr') }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /whole: it has no base/,
  });
});

test('a base that is another snapshot, has changed, or is a delta is named so', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta, later } = await twoSnapshots(dir, GUEST);
  const refused = async (message: RegExp, source: SnapshotSource = delta): Promise<void> => {
    const error = await t.throwsAsync(Snapshot.open(source), { code: 'ERR_MAPPED_RAM_BASE', message });
    t.true(error instanceof MappedRamError && error.path === delta);
    await t.throwsAsync(verify(source), { code: 'ERR_MAPPED_RAM_BASE', message });
  };
  await refused(/later\.mr is another snapshot, or has changed/, { path: delta, base: later });
  await copyFile(delta, dir.file('copy.delta'));
  await refused(/copy\.delta is a delta itself.*flatten/, { path: delta, base: dir.file('copy.delta') });
  await writeFile(dir.file('text'), 'no snapshot at all, but a text that is long enough');
  await refused(/text.*not a QEMU migration stream/, { path: delta, base: dir.file('text') });
  await copyFile(base, dir.file('kept.mr'));
  // One bit of a bitmap, one byte of the device state, one byte more.
  await using whole = await Snapshot.open(base);
  const { blocks } = whole.completeRam();
  const places = [blocks[0]?.area.bitmapOffset ?? 0, (whole.index.sections[0]?.offset ?? 0) + 30];
  for (const place of places) {
    const bytes = await readFile(dir.file('kept.mr'));
    bytes[place] = (bytes[place] ?? 0) ^ 2;
    await writeFile(base, bytes);
    await refused(/base\.mr is another snapshot, or has changed: its headers, bitmaps or device state/);
  }
  const bytes = await readFile(dir.file('kept.mr'));
  await writeFile(base, bytes.subarray(0, -1));
  await refused(/base\.mr/);
  await writeFile(base, bytes);
  t.true((await diff(delta, later)).equal);
  await rm(base);
  await refused(/base\.mr is missing/);
});

test('the seal of a base stands for its pages', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, later } = await twoSnapshots(dir, GUEST);
  t.true((await verify(base, { seal: true })).verified);
  await using memory = await Snapshot.open(later);
  const path = dir.file('sealed.delta');
  const ram = Object.fromEntries(GUEST.map(({ id }) => [id, { memory, compare: true }]));
  await writeDelta(path, { base, state: memory, ram });
  await (await Snapshot.open(path)).close();
  // A page of the base changes, and the base is sealed anew.
  await using whole = await Snapshot.open(base);
  await using handle = await open(base, 'r+');
  await handle.write(Buffer.from([1]), 0, 1, whole.completeRam().blocks[0]?.area.pagesOffset ?? 0);
  t.true((await verify(base, { seal: true, overwrite: true })).verified);
  await t.throwsAsync(Snapshot.open(path), {
    code: 'ERR_MAPPED_RAM_BASE',
    message: /its seal is not the one/,
  });
});

test('a seal of a delta is of both files', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta } = await twoSnapshots(dir, GUEST);
  t.is((await verify(delta, { seal: true })).seal?.path, `${delta}.seal`);
  t.true((await verify(delta)).verified);
  await using whole = await Snapshot.open(base);
  await using handle = await open(base, 'r+');
  await handle.write(Buffer.from([77]), 0, 1, whole.completeRam().blocks[0]?.area.pagesOffset ?? 0);
  const { verified, findings } = await verify(delta);
  t.false(verified);
  t.is(findings[0]?.code, 'pages-differ');
});

test('delta and base are locked against writers in place while they are open', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta, later } = await twoSnapshots(dir, GUEST);
  const snapshot = await Snapshot.open(delta);
  for (const path of [base, delta]) {
    await using handle = await open(path, 'r+');
    const writing = convert(later, { fd: handle.fd });
    await t.throwsAsync(writing, { code: 'ERR_MAPPED_RAM_BUSY' }, path);
  }
  await snapshot.close();
  await using handle = await open(delta, 'r+');
  await convert(later, { fd: handle.fd });
  t.true((await diff(delta, later)).equal);
});

test('what does not go together is refused before anything is written', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta, later } = await twoSnapshots(dir, GUEST);
  await using memory = await Snapshot.open(later);
  const ram = Object.fromEntries(GUEST.map(({ id }) => [id, { memory }]));
  const target = dir.file('new');
  const wrong = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
  const { 'pc.bios': _, ...without } = ram;
  await t.throwsAsync(writeDelta(target, { base, state: later, ram: without }), {
    ...wrong,
    message: /memory of block pc\.bios is missing/,
  });
  await t.throwsAsync(writeDelta(target, { base, state: later, ram: { ...ram, x: { memory } } }), {
    ...wrong,
    message: /no such RAM block/,
  });
  const changed = [
    [
      { first: 3, count: 1 },
      { first: 2, count: 1 },
    ],
    [{ first: 0, count: 0 }],
    [{ first: -1, count: 1 }],
  ];
  for (const one of changed) {
    const given = { ...ram, 'pc.ram': { memory, changed: one } };
    await t.throwsAsync(writeDelta(target, { base, state: later, ram: given }), {
      ...wrong,
      message: /changed pages of block pc\.ram/,
    });
  }
  const far = { ...ram, 'pc.ram': { memory, changed: [{ first: 705, count: 2 }] } };
  await t.throwsAsync(writeDelta(target, { base, state: later, ram: far }), {
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
  });
  await t.throwsAsync(writeDelta(target, { base: delta, state: later, ram }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /stands on a whole snapshot/,
  });
  await t.throwsAsync(writeDelta(base, { base, state: later, ram, overwrite: true }), wrong);
  const other = dir.file('other.mr');
  await writeSnapshot(other, [{ id: 'pc.ram', contents: [1, 2] }]);
  await t.throwsAsync(writeDelta(target, { base, state: other, ram }), {
    ...wrong,
    message: /state has other blocks/,
  });
  await writeSnapshot(
    other,
    GUEST.map(({ id, after }) => ({ id, contents: after })),
    'pc-q35-9.0',
  );
  await t.throwsAsync(writeDelta(target, { base, state: other, ram }), {
    ...wrong,
    message: /another machine/,
  });
  await t.throwsAsync(stat(target));
  t.true((await diff(delta, later)).equal);
});

test('nobody overwrites a delta or its base by what is made of them', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta, later } = await twoSnapshots(dir, GUEST);
  for (const target of [base, delta]) {
    const same = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /same file/ };
    await t.throwsAsync(convert(delta, target, { overwrite: true }), same);
    await t.throwsAsync(flatten(delta, target, { overwrite: true }), same);
    await t.throwsAsync(extract(delta, target, { format: 'raw', block: 'pc.ram', overwrite: true }), same);
    await t.throwsAsync(unpack(delta, { ram: { 'pc.ram': target }, overwrite: true }), same);
  }
  t.true((await diff(delta, later)).equal);
});

test('a delta that is cut off is damaged, and never a guest with holes', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta } = await twoSnapshots(dir, GUEST);
  const bytes = await readFile(delta);
  for (const length of [bytes.length - 1, bytes.length - 300, Math.floor(bytes.length / 2), 140_000]) {
    await writeFile(delta, bytes.subarray(0, length));
    await t.throwsAsync(Snapshot.open(delta), { code: 'ERR_MAPPED_RAM_INCOMPLETE' }, String(length));
    t.false((await verify(delta)).verified, String(length));
  }
});

test('flatten copies delta and base into a whole snapshot, page by page', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta, base, later } = await twoSnapshots(dir, GUEST);
  const path = dir.file('flat.mr');
  const result = await flatten(delta, path, { form: 'copy' });
  t.like(result, { path, form: 'copy', source: { path: delta, base } });
  t.is(result.size, (await stat(path)).size);
  await rm(base);
  await assertLater(t, path);
  t.true((await diff(path, later)).equal);
  t.true((await verify(path)).verified);
  // Pages that became zero take no room: they are clear again.
  await using flat = await Snapshot.open(path);
  const { blocks } = await flat.info();
  const [ram] = GUEST;
  t.is(blocks[0]?.setPages, ram?.after.filter((content) => content !== 'zero').length);
  await t.throwsAsync(flatten(path, dir.file('x')), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /whole already/,
  });
});
