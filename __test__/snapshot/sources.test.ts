import { open, readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import {
  convert,
  diff,
  extract,
  launchArguments,
  openStateStream,
  pack,
  preloadRam,
  Snapshot,
  unpack,
  verify,
  type SnapshotSource,
  type SnapshotTarget,
} from '../../ts/index.ts';
import { PAGE, syntheticState, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const PAGES = 300;
/** A file name that a migration URI would take for another name and an offset. */
const ODD = 'file:odd,offset=4096';
const OFFSET = 8192;

interface Material {
  readonly path: string;
  readonly memory: Buffer;
}

/** A snapshot of one block, at an offset of a file with an odd name. */
async function material(dir: TemporaryDirectory): Promise<Material> {
  const state = dir.file(`state ${ODD}`);
  await writeFile(state, syntheticState({ blocks: [{ id: 'pc.ram', length: PAGES * PAGE }] }));
  await writeRam(dir.file('ram'), PAGES, (page) => page % 4 === 1);
  const path = dir.file(ODD);
  const result = await pack(
    { path, offset: OFFSET },
    { state: { path: state }, ram: { 'pc.ram': dir.file('ram') } },
  );
  return { path: result.path, memory: await readFile(dir.file('ram')) };
}

/** Each function that takes a snapshot, with a check of its result. */
const FUNCTIONS: Readonly<
  Record<
    string,
    (
      t: ExecutionContext,
      source: SnapshotSource | Snapshot,
      given: Material,
      dir: TemporaryDirectory,
    ) => Promise<void>
  >
> = {
  unpack: async (t, source, { memory }) => {
    const ram = Buffer.alloc(memory.length);
    await unpack(source, { ram: { 'pc.ram': ram } });
    t.is(Buffer.compare(ram, memory), 0);
  },
  extract: async (t, source, { memory }, dir) => {
    const output = dir.file('out,offset=1');
    await extract(source, output, { format: 'raw', block: 'pc.ram', overwrite: true });
    t.is(Buffer.compare(await readFile(output), memory), 0);
  },
  'diff, left': async (t, source, { memory }) => {
    t.true((await diff(source, { ram: { 'pc.ram': memory } })).equal);
  },
  'diff, right': async (t, source, { path }) => {
    t.true((await diff({ path, offset: OFFSET }, source)).equal);
  },
  verify: async (t, source) => {
    t.like(await verify(source), { verified: true, offset: OFFSET });
  },
  convert: async (t, source, { memory }, dir) => {
    const target: SnapshotTarget = { path: dir.file(`${ODD}.converted`) };
    await convert(source, target, { overwrite: true });
    t.true((await diff(target, { ram: { 'pc.ram': memory } })).equal);
    await convert(source, { path: dir.file(`${ODD}.stream`) }, { to: 'stream', overwrite: true });
  },
  preloadRam: async (t, source, { memory }, dir) => {
    await using ram = await preloadRam(source, { blocks: ['pc.ram'], directory: dir.path });
    t.is(Buffer.compare(await readFile(ram.files['pc.ram'] ?? ''), memory), 0);
  },
  launchArguments: async (t, source) => {
    const { args, blocks } = await launchArguments(source, { mode: 'instant', args: ['-S'] });
    t.deepEqual(blocks, ['pc.ram']);
    t.true(args.includes('-S'));
  },
  openStateStream: async (t, source) => {
    await using state = await openStateStream(source, { inPlace: ['pc.ram'], mapped: true });
    t.is(state.identity.offset, OFFSET);
    t.true(state.size > 100);
  },
};

for (const [name, use] of Object.entries(FUNCTIONS)) {
  test(`${name} takes a literal path, a descriptor, and a snapshot that is open and stays so`, async (t) => {
    await using dir = await temporaryDirectory();
    const given = await material(dir);
    const place = { path: given.path, offset: OFFSET };
    await use(t, place, given, dir);
    await using handle = await open(given.path, 'r');
    await use(t, { fd: handle.fd, offset: OFFSET }, given, dir);
    for (const source of [place, { fd: handle.fd, offset: BigInt(OFFSET) }]) {
      await using snapshot = await Snapshot.open(source);
      await use(t, snapshot, given, dir);
      t.is(Buffer.compare(await snapshot.read('pc.ram', 0, 8 * PAGE), given.memory.subarray(0, 8 * PAGE)), 0);
    }
    t.is((await handle.stat()).isFile(), true);
  });
}

test('a path that is taken literally is refused only for what no file can be called', async (t) => {
  for (const path of ['', 'a\0b']) {
    const expected = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /no file has this name/ };
    await t.throwsAsync(Snapshot.open({ path }), expected);
    await t.throwsAsync(pack({ path }, { state: 'state' }), expected);
  }
  await t.throwsAsync(Snapshot.open({ path: 'tcp:127.0.0.1:1' }), { code: 'ERR_MAPPED_RAM_IO' });
  await t.throwsAsync(Snapshot.open({ path: 'x', offset: -1 }), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
});

test('the state that unpack writes goes where the target says, its own prefix kept', async (t) => {
  await using dir = await temporaryDirectory();
  const { path } = await material(dir);
  const source = { path, offset: OFFSET };
  await unpack(source, { state: dir.file('plain') });
  const stream = await readFile(dir.file('plain'));
  await unpack(source, { state: pathToFileURL(dir.file('by url')) });
  t.deepEqual(await readFile(dir.file('by url')), stream);
  // A string without a transport is a path, verbatim.
  const odd = dir.file('odd,offset=7');
  await unpack(source, { state: odd });
  t.deepEqual(await readFile(odd), stream);
  const places: readonly ((path: string) => SnapshotTarget)[] = [
    (container) => ({ path: container, offset: 6 }),
    (container) => `file:${container},offset=6`,
  ];
  for (const [index, placeIn] of places.entries()) {
    const container = dir.file(`container ${index}`);
    await writeFile(container, 'prefix');
    await unpack(source, { state: placeIn(container) });
    t.deepEqual(await readFile(container), Buffer.concat([Buffer.from('prefix'), stream]));
  }
  await using handle = await open(dir.file('by fd'), 'w+');
  await unpack(source, { state: { fd: handle.fd } });
  t.deepEqual(await readFile(dir.file('by fd')), stream);
});

test('pack takes a state that is open, and leaves it open', async (t) => {
  await using dir = await temporaryDirectory();
  const { path, memory } = await material(dir);
  await unpack(
    { path, offset: OFFSET },
    { state: dir.file('state'), ram: { 'pc.ram': dir.file('new ram') } },
  );
  await using handle = await open(dir.file('state'), 'r');
  for (const source of [{ path: dir.file('state') }, { fd: handle.fd }]) {
    await using state = await Snapshot.open(source);
    const target = { path: dir.file(ODD), offset: OFFSET };
    await pack(target, { state, ram: { 'pc.ram': dir.file('ram') }, overwrite: true });
    t.true((await diff(target, { ram: { 'pc.ram': memory } })).equal);
    t.is((await state.info()).form, 'plain');
    await t.throwsAsync(pack(dir.file('state'), { state, ram: { 'pc.ram': memory }, overwrite: true }), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: /the snapshot and the state are the same file/,
    });
  }
  await using snapshot = await Snapshot.open({ path, offset: OFFSET });
  await t.throwsAsync(pack(dir.file('x'), { state: snapshot }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /wrong form.*a mapped-ram file/,
  });
});

test('a plain stream that is open is converted, and stays open', async (t) => {
  await using dir = await temporaryDirectory();
  const { path, memory } = await material(dir);
  await convert({ path, offset: OFFSET }, dir.file('stream'), { to: 'stream' });
  await using snapshot = await Snapshot.open(dir.file('stream'));
  await t.throwsAsync(convert(snapshot, dir.file('stream'), { overwrite: true }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /the same file/,
  });
  await convert(snapshot, dir.file('again'));
  t.true((await diff(dir.file('again'), { ram: { 'pc.ram': memory } })).equal);
  t.is((await snapshot.info()).form, 'plain');
});
