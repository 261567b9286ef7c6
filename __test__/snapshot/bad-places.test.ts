import { createWriteStream } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { finished } from 'node:stream/promises';

import test from 'ava';

import {
  convert,
  diff,
  extract,
  launchArguments,
  openStateStream,
  pack,
  preloadRam,
  restore,
  Snapshot,
  unpack,
  verify,
} from '../../ts/index.ts';
import { PAGE, syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const INVALID = 'ERR_MAPPED_RAM_INVALID_ARGUMENT';

/** A value that the types forbid. */
function asGiven(value: unknown): never {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a caller without types gives anything
  return value as never;
}

/** Values that are neither a source nor a target, with the words in which an error tells of them. */
const BAD: readonly (readonly [value: unknown, words: RegExp])[] = [
  [undefined, /expected a path.*, found undefined$/],
  [null, /found null$/],
  [5, /found 5$/],
  [Symbol('x'), /found Symbol\(x\)$/],
  [[], /found an array$/],
  [() => 'x', /found a function$/],
  [{}, /found an object without members$/],
  [Object.create(null), /found an object without members$/],
  [{ transport: 'file', filename: 'x' }, /found an object with transport, filename$/],
  [{ storage: undefined }, /found an object with storage$/],
  [{ storage: null }, /^storage of the (source|target): .*found null$/],
  [{ storage: {} }, /of the storage of the (source|target): expected a function, found undefined$/],
  [{ path: 5 }, /^path of the (source|target): expected a text, found 5$/],
  [{ path: null }, /expected a text, found null$/],
  [{ path: '' }, /no file has this name/],
  [{ fd: 'x' }, /^fd of the (source|target): expected a descriptor, found "x"$/],
  [{ fd: -1 }, /expected a descriptor, found -1$/],
  [{ fd: 1.5 }, /expected a descriptor, found 1.5$/],
  [{ path: 'x', fd: 3 }, /expected one of path, fd, storage, found path and fd$/],
  [{ path: 'x', offset: 'y' }, /offset of the snapshot: .*found "y"$/],
  [{ path: 'x', offset: Symbol('y') }, /found Symbol\(y\)$/],
  [{ path: 'x', offset: Object.create(null) }, /found an object without members$/],
];

const SOURCES: Readonly<Record<string, (source: never) => Promise<unknown>>> = {
  'Snapshot.open': (source) => Snapshot.open(source),
  'pack, state': (source) => pack({ path: '/no/such/directory/x' }, { state: source }),
  unpack: (source) => unpack(source, { ram: { m0: new Uint8Array(1) } }),
  convert: (source) => convert(source, '/no/such/directory/x'),
  'diff, left': (source) => diff(source, 'x'),
  verify: (source) => verify(source),
  extract: (source) => extract(source, 'x', { format: 'raw' }),
  preloadRam: (source) => preloadRam(source, { blocks: ['m0'] }),
  launchArguments: (source) => launchArguments(source, { mode: 'instant', args: [] }),
  openStateStream: (source) => openStateStream(source, { inPlace: [] }),
  restore: (source) => restore(source, { args: [], binary: '/no/such/qemu' }),
};

for (const [name, use] of Object.entries(SOURCES)) {
  test(`what is no source is refused by ${name}, with what was expected and found`, async (t) => {
    for (const [value, message] of BAD) {
      await t.throwsAsync(use(asGiven(value)), { code: INVALID, message }, String(message));
    }
  });
}

test('what is no target is refused, with what was expected and found, and nothing is written', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('state'), syntheticState({ blocks: [{ id: 'm0', length: PAGE }] }));
  await pack(dir.file('snapshot'), { state: dir.file('state'), ram: { m0: Buffer.alloc(PAGE) } });
  const before = await readdir(dir.path);
  const targets = [
    (target: never) => pack(target, { state: dir.file('state'), ram: { m0: Buffer.alloc(PAGE) } }),
    (target: never) => convert(dir.file('snapshot'), target),
    (target: never) => unpack(dir.file('snapshot'), { state: target }),
  ];
  const bad = [
    ...BAD,
    [{ fd: 3, directFd: 'x' }, /^directFd of the target: .*found "x"$/],
    [{ storage: { writeAt: async () => undefined } }, /^finish of the storage of the target: /],
  ] as const;
  for (const [value, message] of bad) {
    for (const [index, use] of targets.entries()) {
      // An unpack without a state has nothing to do, which it says in other words.
      const words = index === 2 && value === undefined ? /nothing to unpack/ : message;
      await t.throwsAsync(use(asGiven(value)), { code: INVALID, message: words }, String(message));
    }
  }
  for (const [value, message] of BAD) {
    await t.throwsAsync(diff(dir.file('snapshot'), asGiven(value)), { code: INVALID, message });
  }
  t.deepEqual(await readdir(dir.path), before);
});

test('an object that is open is no name of a place', async (t) => {
  await using dir = await temporaryDirectory();
  const state = dir.file('state');
  await writeFile(state, syntheticState({ blocks: [{ id: 'm0', length: PAGE }] }));
  const ram = { m0: Buffer.alloc(PAGE, 3) };
  await pack(dir.file('snapshot'), { state, ram });
  await using snapshot = await Snapshot.open(dir.file('snapshot'));
  const bytes = await readFile(dir.file('snapshot'));
  const refused = { code: INVALID, message: /found an object of class Snapshot, which is open$/ };
  await t.throwsAsync(Snapshot.open(asGiven(snapshot)), refused);
  await t.throwsAsync(pack(asGiven(snapshot), { state, ram, overwrite: true }), refused);
  await t.throwsAsync(convert(state, asGiven(snapshot), { overwrite: true }), refused);
  await t.throwsAsync(unpack(snapshot, { state: asGiven(snapshot), overwrite: true }), refused);
  await t.throwsAsync(pack(dir.file('new'), { state, ram: { m0: asGiven(snapshot) } }), refused);
  const stream = createWriteStream(dir.file('stream'));
  await t.throwsAsync(pack(asGiven(stream), { state, ram }), { code: INVALID });
  stream.end();
  await finished(stream);
  t.deepEqual(await readFile(dir.file('snapshot')), bytes);
});

test('RAM that is no location is refused in the same way', async (t) => {
  await using dir = await temporaryDirectory();
  const state = dir.file('state');
  await writeFile(state, syntheticState({ blocks: [{ id: 'm0', length: PAGE }] }));
  await pack(dir.file('snapshot'), { state, ram: { m0: Buffer.alloc(PAGE) } });
  for (const location of [undefined, null, 5, {}, { path: 5 }, { fd: 'x' }, { storage: {} }, '', 'a\0b']) {
    const ram = { m0: asGiven(location) };
    for (const work of [
      () => pack(dir.file('new'), { state, ram }),
      () => unpack(dir.file('snapshot'), { ram }),
      () => diff(dir.file('snapshot'), { ram }),
    ]) {
      await t.throwsAsync(work, { code: INVALID, message: /expected .*, found / });
    }
  }
  await t.throwsAsync(diff(dir.file('snapshot'), { ram: asGiven(null) }), { code: INVALID });
  const far = new URL('http://host/ram');
  await t.throwsAsync(unpack(dir.file('snapshot'), { ram: { m0: far } }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
  });
  await t.throwsAsync(extract(dir.file('snapshot'), far, { format: 'raw' }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
  });
  await t.throwsAsync(extract(dir.file('snapshot'), asGiven(5), { format: 'raw' }), { code: INVALID });
});
