import { readFile, rm, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';

import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import {
  convert,
  diff,
  extract,
  openStateStream,
  pack,
  preloadRam,
  restore,
  Snapshot,
  unpack,
  verify,
} from '../../ts/index.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { kindsOf, naiveDiff } from '../support/naive-diff.ts';
import { PAGE, syntheticState, testPage } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { naiveBlock, naiveSeal } from '../verify/naive-seal.ts';

/** Memory by block: for each page its number, or undefined for a zero page. */
type Guest = Readonly<Record<string, readonly (number | undefined)[]>>;

const pages = fc.array(fc.option(fc.nat(5), { nil: undefined }), { minLength: 1, maxLength: 200 });
/** Long stretches of data and of zeros, in which windows and pieces of pages come to their ends. */
const stretches = fc
  .array(fc.tuple(fc.option(fc.nat(5), { nil: undefined }), fc.integer({ min: 1, max: 150 })), {
    minLength: 1,
    maxLength: 6,
  })
  .map((runs) => runs.flatMap(([page, count]) => Array.from({ length: count }, () => page)));
const guests: fc.Arbitrary<Guest> = fc.record({ m0: fc.oneof(pages, stretches), 'pc.bios': pages });

function ramOf(guest: Guest): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(guest).map(([id, numbers]) => [
      id,
      Buffer.concat(numbers.map((page) => (page === undefined ? Buffer.alloc(PAGE) : testPage(page)))),
    ]),
  );
}

function stateOf(guest: Guest): Buffer {
  const blocks = Object.entries(guest).map(([id, { length }]) => ({ id, length: length * PAGE }));
  return syntheticState({ blocks });
}

async function packed(guest: Guest, offset = 0): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  const state = { storage: MemoryStorage.of(stateOf(guest), 'state') };
  await pack({ storage, offset }, { state, ram: ramOf(guest) });
  return storage;
}

test('a snapshot in memory has the bytes of one in a file, and nothing where pages are zero', async (t) => {
  await using dir = await temporaryDirectory();
  await fc.assert(
    fc.asyncProperty(guests, fc.constantFrom(0, 4096, 12_345), async (guest, offset) => {
      const [file, seal] = [dir.file('snapshot'), dir.file('seal')];
      await rm(file, { force: true });
      await writeFile(dir.file('state'), stateOf(guest));
      const ram = ramOf(guest);
      const inFile = await pack(
        { path: file, offset },
        { state: dir.file('state'), ram, seal: true, overwrite: true },
      );
      const storage = new MemoryStorage();
      const state = { storage: MemoryStorage.of(stateOf(guest)) };
      const options = { state, ram, seal: true, sealPath: seal, overwrite: true, channels: 3 };
      const inMemory = await pack({ storage, offset }, { ...options, requestSize: 1 << 18 });
      t.is(storage.state, 'published');
      t.deepEqual(
        [inMemory.size, inMemory.blocks, inMemory.transfer.bytes, inMemory.transfer.dataBytes],
        [inFile.size, inFile.blocks, inFile.transfer.bytes, inFile.transfer.dataBytes],
      );
      const whole = await readFile(file);
      t.is(Buffer.compare(await storage.bytes(), whole), 0);
      await using snapshot = await Snapshot.open({ storage, offset });
      const { blocks } = snapshot.completeRam();
      for (const { id, area } of blocks) {
        for (const [page, number] of (guest[id] ?? []).entries()) {
          t.is(storage.hasBlock(area.pagesOffset + page * PAGE), number !== undefined, `${id} ${page}`);
        }
      }
      t.is(Buffer.compare(await readFile(seal), naiveSeal(whole, offset, blocks.map(naiveBlock))), 0);
      t.is(Buffer.compare(await readFile(seal), await readFile(`${file}.seal`)), 0);
      await using other = await Snapshot.open({ path: file, offset });
      const { path: _path, allocated: _allocated, ...info } = await snapshot.info();
      const { path: _file, allocated: _blocks, ...expected } = await other.info();
      t.deepEqual(info, expected);
    }),
    { numRuns: 15 },
  );
});

test('what is taken out of a snapshot in memory is what was put in', async (t) => {
  await using dir = await temporaryDirectory();
  await fc.assert(
    fc.asyncProperty(guests, async (guest) => {
      const storage = await packed(guest);
      const ram = ramOf(guest);
      const given = {
        m0: Buffer.alloc(ram['m0']?.length ?? 0, 9),
        'pc.bios': Buffer.alloc(ram['pc.bios']?.length ?? 0, 9),
      };
      const state = new MemoryStorage('state');
      const unpacked = await unpack({ storage }, { ram: given, state: { storage: state }, channels: 2 });
      t.is(unpacked.transfer?.ioEngine, 'javascript');
      t.is(Buffer.compare(given.m0, ram['m0'] ?? Buffer.alloc(0)), 0);
      t.is(Buffer.compare(given['pc.bios'], ram['pc.bios'] ?? Buffer.alloc(0)), 0);
      // The pages go in place, zero pages included, and into a new file.
      await writeFile(dir.file('m0'), Buffer.alloc(ram['m0']?.length ?? 0, 7));
      const files = { m0: { path: dir.file('m0') }, 'pc.bios': dir.file('bios') };
      await unpack({ storage }, { ram: files, overwrite: true });
      t.is(Buffer.compare(await readFile(dir.file('m0')), given.m0), 0);
      t.is(Buffer.compare(await readFile(dir.file('bios')), given['pc.bios']), 0);
      // State and memory belong together: packed again they make the same snapshot.
      const again = new MemoryStorage();
      await pack({ storage: again }, { state: { storage: state }, ram });
      t.is(Buffer.compare(await again.bytes(), await storage.bytes()), 0);
    }),
    { numRuns: 15 },
  );
});

test('differences of snapshots in memory are those that a naive comparison finds', async (t) => {
  await using dir = await temporaryDirectory();
  const two = fc
    .array(fc.tuple(fc.option(fc.nat(2), { nil: undefined }), fc.option(fc.nat(2), { nil: undefined })), {
      minLength: 1,
      maxLength: 700,
    })
    .map((both) => [both.map(([left]) => left), both.map(([, right]) => right)] as const);
  await fc.assert(
    fc.asyncProperty(two, async ([left, right]) => {
      const [a, b] = [{ m0: left }, { m0: right }];
      const [mine, yours] = [await packed(a), await packed(b, 4096)];
      const expected = naiveDiff(contentOf(left), contentOf(right));
      await writeFile(dir.file('state'), stateOf(b));
      await pack(dir.file('right'), { state: dir.file('state'), ram: ramOf(b), overwrite: true });
      const sides = [
        { storage: yours, offset: 4096 },
        dir.file('right'),
        { ram: { m0: ramOf(b)['m0'] ?? Buffer.alloc(0) } },
      ];
      for (const side of sides) {
        const { blocks, transfer } = await diff({ storage: mine }, side);
        t.deepEqual(kindsOf(blocks[0]?.runs() ?? [], left.length), expected);
        t.is(transfer.ioEngine, 'javascript');
      }
      const mirrored = await diff(dir.file('right'), { storage: mine });
      t.deepEqual(
        kindsOf(mirrored.blocks[0]?.runs() ?? [], left.length),
        naiveDiff(contentOf(right), contentOf(left)),
      );
    }),
    { numRuns: 15 },
  );
});

function contentOf(numbers: readonly (number | undefined)[]): readonly (Uint8Array | undefined)[] {
  return numbers.map((page) => (page === undefined ? undefined : testPage(page)));
}

const GUEST: Guest = {
  m0: Array.from({ length: 700 }, (_, page) => (page % 3 === 0 ? page : undefined)),
  'pc.bios': [1, undefined, 2],
};

test('a snapshot in memory is verified, against a seal too, and damage is found', async (t) => {
  await using dir = await temporaryDirectory();
  const storage = await packed(GUEST);
  const sealPath = dir.file('seal');
  t.like(await verify({ storage }), { verified: true, path: 'memory', seal: undefined });
  t.like(await verify({ storage }, { seal: true, sealPath }), { verified: true, seal: { state: 'written' } });
  t.like(await verify({ storage }, { sealPath }), { verified: true, seal: { state: 'checked' } });
  await t.throwsAsync(verify({ storage }, { seal: true }), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  await using snapshot = await Snapshot.open({ storage });
  const [block] = snapshot.completeRam().blocks;
  storage.flip((block?.area.pagesOffset ?? 0) + 300 * PAGE + 5);
  const { findings } = await verify({ storage }, { sealPath });
  t.like(findings, [{ code: 'pages-differ', block: 'm0', pages: { first: 256, count: 64 } }]);
});

test('a snapshot in memory is extracted and converted', async (t) => {
  await using dir = await temporaryDirectory();
  const storage = await packed(GUEST);
  const extracted = await extract({ storage }, dir.file('m0'), { format: 'raw', block: 'm0' });
  t.is(extracted.transfer?.ioEngine, 'javascript');
  t.is(Buffer.compare(await readFile(dir.file('m0')), ramOf(GUEST)['m0'] ?? Buffer.alloc(0)), 0);
  const [moved, stream] = [new MemoryStorage(), new MemoryStorage()];
  const converted = await convert({ storage }, { storage: moved, offset: 65_536 });
  t.is(converted.transfer?.ioEngine, 'javascript');
  const { equal } = await diff({ storage }, { storage: moved, offset: 65_536 });
  t.true(equal);
  await convert({ storage: moved, offset: 65_536 }, { storage: stream }, { to: 'stream' });
  // A stream's pages come in any order, so they need a file.
  await t.throwsAsync(convert({ storage: stream }, { storage: new MemoryStorage() }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /needs a file on this host/,
  });
  await convert({ storage: stream }, dir.file('again'));
  t.true((await diff({ storage }, dir.file('again'))).equal);
  // A snapshot goes from a file into storage, too.
  const back = new MemoryStorage();
  await convert(dir.file('again'), { storage: back });
  t.is(Buffer.compare(await back.bytes(), await readFile(dir.file('again'))), 0);
});

test('an explicit choice of what needs a file is refused', async (t) => {
  const storage = await packed(GUEST);
  const ram = { m0: Buffer.alloc(700 * PAGE) };
  for (const ioEngine of ['io_uring', 'threads'] as const) {
    await t.throwsAsync(unpack({ storage }, { ram, ioEngine }), {
      code: 'ERR_MAPPED_RAM_ENGINE_UNAVAILABLE',
    });
  }
  await t.throwsAsync(verify({ storage }, { directIo: 'on' }), {
    code: 'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE',
  });
  for (const wrong of [{ channels: 0 }, { channels: 65 }, { requestSize: 4095 }, { requestSize: 2 ** 25 }]) {
    await t.throwsAsync(diff({ storage }, { storage }, wrong), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
  }
  t.deepEqual([...new Set(ram.m0)], [0]);
});

async function assertDropped(
  t: ExecutionContext,
  storage: MemoryStorage,
  work: Promise<unknown>,
  expected: { readonly code?: string; readonly message?: RegExp; readonly name?: string },
): Promise<void> {
  await t.throwsAsync(work, expected);
  t.is(storage.state, 'dropped');
}

test('storage that fails, and work that is aborted, leave nothing', async (t) => {
  const state = { storage: MemoryStorage.of(stateOf(GUEST)) };
  const options = { state, ram: ramOf(GUEST) };
  for (const step of ['writeAt', 'finish', 'publish'] as const) {
    const storage = new MemoryStorage();
    storage[step] = async () => {
      throw new Error('the network is down');
    };
    await assertDropped(t, storage, pack({ storage }, options), {
      code: 'ERR_MAPPED_RAM_IO',
      message: /^memory.*the network is down/,
    });
  }
  const [storage, controller] = [new MemoryStorage(), new AbortController()];
  const writeAt = storage.writeAt.bind(storage);
  storage.writeAt = async (bytes, offset) => {
    controller.abort(new Error('enough'));
    await writeAt(bytes, offset);
  };
  const aborted = pack({ storage }, { ...options, signal: controller.signal });
  await assertDropped(t, storage, aborted, { message: /^enough$/ });
});

test('a storage that cannot be read says so, and no claim about its size allocates anything', async (t) => {
  const storage = await packed(GUEST);
  await using snapshot = await Snapshot.open({ storage });
  storage.readInto = async () => {
    throw new Error('the network is down');
  };
  await t.throwsAsync(snapshot.read('m0', 0, PAGE), {
    code: 'ERR_MAPPED_RAM_IO',
    message: /cannot read the storage \(the network is down\)/,
  });
  await t.throwsAsync(Snapshot.open({ storage: { size: 0.5, readInto: async () => undefined } }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  const endless = {
    size: Number.MAX_SAFE_INTEGER,
    readInto: async (bytes: Uint8Array) => void bytes.fill(0),
  };
  await t.throwsAsync(Snapshot.open({ storage: endless }), { code: 'ERR_MAPPED_RAM_BAD_MAGIC' });
  await t.throwsAsync(verify({ storage: endless }), { code: 'ERR_MAPPED_RAM_BAD_MAGIC' });
});

test('a restore out of storage is refused before QEMU starts, and its memory can be loaded', async (t) => {
  await using dir = await temporaryDirectory();
  const storage = await packed(GUEST);
  const refused = { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /^memory: .* needs a file on this host/ };
  for (const mode of MODE_NAMES) {
    await t.throwsAsync(restore({ storage }, { mode, args: [], binary: '/no/such/qemu' }), refused);
  }
  await t.throwsAsync(openStateStream({ storage }, { inPlace: ['m0'] }), refused);
  await using ram = await preloadRam({ storage }, { blocks: ['m0'], directory: dir.path });
  t.is(ram.report.ioEngine, 'javascript');
  t.is(Buffer.compare(await readFile(ram.files['m0'] ?? ''), ramOf(GUEST)['m0'] ?? Buffer.alloc(0)), 0);
});
