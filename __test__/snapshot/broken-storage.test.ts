import { once } from 'node:events';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';

import test from 'ava';

import {
  convert,
  diff,
  extract,
  MappedRamError,
  pack,
  Snapshot,
  unpack,
  verify,
  type SnapshotSource,
} from '../../ts/index.ts';
import { StagedFile } from '../../ts/engine/staged-file.ts';
import { StorageReader } from '../../ts/io/storage.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { PAGE, syntheticState, testPage } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PAGES = 700;
const RAM = { m0: Buffer.concat(Array.from({ length: PAGES }, (_, page) => testPage(page % 7))) };

function stateStorage(): MemoryStorage {
  return MemoryStorage.of(syntheticState({ blocks: [{ id: 'm0', length: PAGES * PAGE }] }), 'state');
}

async function packed(): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await pack({ storage }, { state: { storage: stateStorage() }, ram: RAM });
  return storage;
}

/** Memory whose every byte can be told from a byte that was never filled. */
function marked(length: number): Uint8Array {
  return new Uint8Array(length).fill(7);
}

test('a read that returns another number of bytes than were asked for is an error with its place', async (t) => {
  for (const result of [(count: number) => count, (count: number) => ({ bytesRead: count })]) {
    for (const [change, found] of [
      [-32, '32 bytes'],
      [1, '65 bytes'],
    ] as const) {
      const storage = {
        size: 4096,
        readInto: async (bytes: Uint8Array) => {
          bytes.set(marked(Math.min(bytes.length, bytes.length + change)));
          return result(bytes.length + change);
        },
      };
      await t.throwsAsync(StorageReader.open(storage).read(128, 64), {
        code: 'ERR_MAPPED_RAM_TRUNCATED',
        message: `storage, offset 128 (0x80): the storage gave another number of bytes: expected 64 bytes, found ${found}`,
      });
      await t.throwsAsync(Snapshot.open({ storage }), { code: 'ERR_MAPPED_RAM_TRUNCATED' });
    }
    const honest = { size: 64, readInto: async (bytes: Uint8Array) => result(bytes.fill(7).length) };
    t.deepEqual(await StorageReader.open(honest).read(0, 64), marked(64));
  }
});

test('what a read leaves unfilled is zero, and nothing that this process held before', async (t) => {
  const half = {
    size: 1 << 20,
    readInto: async (bytes: Uint8Array) => void bytes.subarray(0, bytes.length / 2).fill(7),
  };
  const reader = StorageReader.open(half);
  for (let round = 0; round < 50; round += 1) {
    // Freed memory that is full of bytes is what an allocation may get.
    Buffer.allocUnsafe(512).fill(9);
    const bytes = await reader.read(0, 512);
    t.deepEqual([...new Set(bytes.subarray(256))], [0]);
  }
});

test('size, allocated bytes and name are asked for once', async (t) => {
  const storage = await packed();
  const asked: string[] = [];
  const watched = {
    get size() {
      asked.push('size');
      return storage.size;
    },
    get name() {
      asked.push('name');
      return 'watched';
    },
    readInto: (bytes: Uint8Array, offset: number) => storage.readInto(bytes, offset),
  };
  StorageReader.open(watched);
  t.deepEqual(asked.toSorted(), ['name', 'size']);
});

test('a drop that fails in whichever way does not hide the first error', async (t) => {
  const drops: readonly (() => unknown)[] = [
    () => {
      throw new Error('drop throws');
    },
    () => undefined,
    () => Promise.reject(new Error('drop rejects')),
  ];
  for (const drop of drops) {
    const storage = new MemoryStorage();
    storage.writeAt = async () => {
      throw new Error('the network is down');
    };
    Object.assign(storage, { drop });
    await t.throwsAsync(pack({ storage }, { state: { storage: stateStorage() }, ram: RAM }), {
      code: 'ERR_MAPPED_RAM_IO',
      message: /the network is down/,
    });
  }
});

test('whatever a storage throws, at once or later, becomes the cause of an error of this package', async (t) => {
  const odd: readonly unknown[] = [
    Object.create(null),
    undefined,
    null,
    'text',
    Symbol('x'),
    { toString: () => 5n, [Symbol.toStringTag]: 'Error' },
    Object.defineProperty(new Error('x'), 'message', {
      get: () => {
        throw new Error('no message');
      },
    }),
    new Proxy(
      {},
      {
        has: () => {
          throw new Error('has');
        },
        get: () => {
          throw new Error('get');
        },
        getPrototypeOf: () => {
          throw new Error('getPrototypeOf');
        },
      },
    ),
  ];
  for (const thrown of odd) {
    for (const fail of [
      () => {
        throw thrown;
      },
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- that is what is tested
      () => Promise.reject(thrown),
    ]) {
      const reading = Snapshot.open({ storage: { size: 4096, readInto: fail } });
      const storage = Object.assign(new MemoryStorage(), { writeAt: fail });
      const writing = pack({ storage }, { state: { storage: stateStorage() }, ram: RAM });
      for (const work of [reading, writing]) {
        const error = await t.throwsAsync(work, { code: 'ERR_MAPPED_RAM_IO' });
        t.true(error instanceof MappedRamError && error.cause instanceof Error);
      }
    }
  }
});

function zeroRam(): Record<string, Buffer> {
  return { m0: Buffer.alloc(PAGES * PAGE) };
}

/** Storage whose reads never end once `hangs` is set. */
class HangingStorage extends MemoryStorage {
  hangs = false;
  readonly signals: (AbortSignal | undefined)[] = [];
  readonly reading = new EventTarget();

  static async packed(): Promise<HangingStorage> {
    const storage = new HangingStorage();
    await pack({ storage }, { state: { storage: stateStorage() }, ram: RAM });
    return storage;
  }

  override async readInto(
    bytes: Uint8Array,
    offset: number,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    if (!this.hangs) return super.readInto(bytes, offset);
    this.signals.push(signal);
    this.reading.dispatchEvent(new Event('read'));
    return new Promise((_resolve, reject) => {
      // The storage hears of the abort. Its failure, which comes late, matters to nobody.
      signal?.addEventListener('abort', () => setImmediate(reject, new Error('late')), { once: true });
    });
  }
}

test('an abort ends a read that hangs, also in a snapshot that was open before', async (t) => {
  await using dir = await temporaryDirectory();
  const works: Readonly<
    Record<string, (source: SnapshotSource | Snapshot, signal: AbortSignal) => Promise<unknown>>
  > = {
    unpack: (source, signal) => unpack(source, { ram: zeroRam(), signal }),
    diff: (source, signal) => diff(source, { ram: zeroRam() }, { signal }),
    verify: (source, signal) => verify(source, { signal }),
    extract: (source, signal) => extract(source, dir.file('out'), { format: 'raw', block: 'm0', signal }),
    convert: (source, signal) => convert(source, { storage: new MemoryStorage() }, { signal }),
  };
  for (const [name, work] of Object.entries(works)) {
    for (const isOpen of [true, false]) {
      const storage = await HangingStorage.packed();
      await using snapshot = await Snapshot.open({ storage });
      storage.hangs = true;
      const [controller, reading] = [new AbortController(), once(storage.reading, 'read')];
      const failing = t.throwsAsync(work(isOpen ? snapshot : { storage }, controller.signal), {
        message: 'enough',
      });
      await reading;
      controller.abort(new Error('enough'));
      await failing;
      t.true(storage.signals.length > 0 && storage.signals.every((signal) => signal?.aborted === true), name);
      // The snapshot is open still, and works.
      storage.hangs = false;
      t.deepEqual(Buffer.from(await snapshot.read('m0', 0, PAGE)), Buffer.from(testPage(0)));
    }
  }
  t.deepEqual(await readdir(dir.path), []);
  // The late failures of the reads come now.
  await nextTurn();
});

test('an abort ends a write or a finish that hangs, and the storage is dropped', async (t) => {
  for (const step of ['writeAt', 'finish'] as const) {
    for (const channels of [1, 32]) {
      const controller = new AbortController();
      let given: AbortSignal | undefined;
      const storage = Object.assign(new MemoryStorage(), {
        [step]: (...args: readonly unknown[]) => {
          const options = args.at(-1);
          if (typeof options === 'object' && options !== null && 'signal' in options) {
            given = options.signal instanceof AbortSignal ? options.signal : undefined;
          }
          setImmediate(() => controller.abort(new Error('enough')));
          return new Promise(() => undefined);
        },
      });
      const options = { ram: RAM, channels, requestSize: PAGE, signal: controller.signal };
      await t.throwsAsync(pack({ storage }, { state: { storage: stateStorage() }, ...options }), {
        message: 'enough',
      });
      t.is(storage.state, 'dropped');
      t.is(given, controller.signal, step);
    }
  }
});

test.serial('an abort that comes while the result is finished leaves no result', async (t) => {
  await using dir = await temporaryDirectory();
  const source = await packed();
  await writeFile(dir.file('state'), await stateStorage().bytes());
  const before = await readdir(dir.path);
  const works = {
    pack: (signal: AbortSignal) => pack(dir.file('out'), { state: dir.file('state'), ram: RAM, signal }),
    convert: (signal: AbortSignal) => convert({ storage: source }, dir.file('out'), { signal }),
    unpack: (signal: AbortSignal) =>
      unpack({ storage: source }, { state: dir.file('out'), ram: { m0: dir.file('m0') }, signal }),
    extract: (signal: AbortSignal) =>
      extract({ storage: source }, dir.file('out'), { format: 'raw', block: 'm0', signal }),
  };
  // oxlint-disable-next-line typescript/unbound-method -- it is bound where it is called
  const { sync } = StagedFile.prototype;
  try {
    for (const [name, work] of Object.entries(works)) {
      const controller = new AbortController();
      StagedFile.prototype.sync = async function () {
        // The file is durable before anybody hears of the abort.
        await sync.call(this);
        controller.abort(new Error('enough'));
      };
      await t.throwsAsync(work(controller.signal), { message: 'enough' }, name);
      t.deepEqual(await readdir(dir.path), before, name);
    }
  } finally {
    StagedFile.prototype.sync = sync;
  }
});

test('one storage, or one descriptor, cannot be read and written by the same work', async (t) => {
  await using dir = await temporaryDirectory();
  const storage = await packed();
  const bytes = await storage.bytes();
  const refused = {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /^memory: the (source|state|snapshot) and the (result|snapshot|state) are the same storage$/,
  };
  const same = { code: refused.code, message: /are the same storage$/ };
  await t.throwsAsync(convert({ storage }, { storage, offset: 1 << 24 }), refused);
  await using snapshot = await Snapshot.open({ storage });
  await t.throwsAsync(convert(snapshot, { storage }), refused);
  await t.throwsAsync(unpack({ storage }, { state: { storage } }), refused);
  const state = stateStorage();
  await t.throwsAsync(pack({ storage: state }, { state: { storage: state }, ram: RAM }), same);
  await using opened = await Snapshot.open({ storage: state });
  await t.throwsAsync(pack({ storage: state }, { state: opened, ram: RAM }), same);
  t.is(storage.state, 'published');
  t.is(Buffer.compare(await storage.bytes(), bytes), 0);
  // A descriptor would be cut off before it is read.
  await writeFile(dir.file('snapshot'), bytes);
  await using handle = await open(dir.file('snapshot'), 'r+');
  const { fd } = handle;
  for (const source of [{ fd }, dir.file('snapshot')]) {
    await t.throwsAsync(convert(source, { fd }), {
      code: refused.code,
      message: /the source and the result are the same file$/,
    });
  }
  t.is(Buffer.compare(await readFile(dir.file('snapshot')), bytes), 0);
});
