import { type FileHandle, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';

import test from 'ava';

import { lockFile } from '../../ts/engine/file-lock.ts';
import { pack, type RamLocation, Snapshot, unpack, type PackOptions } from '../../ts/index.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { PAGE, syntheticState, testPage, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';

const PAGES = 700;

/** RAM with data in every third page, a state with one more, small block, and a path for the snapshot. */
async function material(
  dir: TemporaryDirectory,
): Promise<{ readonly target: string; readonly options: PackOptions }> {
  const blocks = [
    { id: 'm0', length: PAGES * PAGE },
    { id: 'pc.bios', length: 3 * PAGE },
  ];
  const pages = [
    { block: 'pc.bios', offset: 2 * PAGE, bytes: testPage(1) },
    { block: 'pc.bios', offset: 0, bytes: testPage(2) },
    { block: 'pc.bios', offset: 0, bytes: 'zero' as const },
    { block: 'pc.bios', offset: 2 * PAGE, bytes: testPage(3) },
  ];
  await writeFile(dir.file('state'), syntheticState({ blocks, pages }));
  await writeRam(dir.file('m0'), PAGES, (page) => page % 3 === 0);
  return { target: dir.file('snapshot'), options: { state: dir.file('state'), ram: { m0: dir.file('m0') } } };
}

for (const way of WAYS) {
  test(`pack and unpack give the same RAM: ${way.ioEngine}, direct I/O ${way.directIo}`, async (t) => {
    await using dir = await temporaryDirectory();
    const { target, options } = await material(dir);
    const packed = await pack(target, { ...options, ...way });
    t.is(packed.transfer.ioEngine, way.ioEngine);
    t.is(packed.transfer.directIo, way.directIo === 'on');
    t.is((await stat(target)).mode & 0o777, 0o600);
    const ram = { m0: dir.file('m0.out'), 'pc.bios': dir.file('bios.out') };
    await unpack(target, { ram, state: dir.file('state.out'), ...way });
    t.is(Buffer.compare(await readFile(dir.file('m0')), await readFile(ram.m0)), 0);
    t.deepEqual(await readFile(ram['pc.bios']), Buffer.concat([Buffer.alloc(2 * PAGE), testPage(3)]));
  });
}

test('the last record of a page wins, and zero pages stay holes', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  await using snapshot = await Snapshot.open(target);
  const { blocks, complete, sections, warnings } = await snapshot.info();
  t.true(complete);
  t.deepEqual(warnings, []);
  t.deepEqual(
    blocks.map(({ id, setPages, zeroPages }) => ({ id, setPages, zeroPages })),
    [
      { id: 'm0', setPages: Math.ceil(PAGES / 3), zeroPages: PAGES - Math.ceil(PAGES / 3) },
      { id: 'pc.bios', setPages: 1, zeroPages: 2 },
    ],
  );
  t.deepEqual(
    sections.map(({ name }) => name),
    ['test-device'],
  );
  const { allocated } = await snapshot.info();
  t.true(allocated < PAGES * PAGE * 0.7, `allocated ${allocated}`);
});

test('zero pages are stored where that is asked for, and for firmware', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, { ...options, storeZeroPages: ['m0'] });
  await using snapshot = await Snapshot.open(target);
  const { blocks } = await snapshot.info();
  t.deepEqual(
    blocks.map(({ zeroPages }) => zeroPages),
    [0, 2],
  );
  await writeFile(
    dir.file('flash-state'),
    syntheticState({ blocks: [{ id: 'system.flash0', length: 4 * PAGE }] }),
  );
  await writeRam(dir.file('flash'), 4, () => false);
  await pack(dir.file('flash.snapshot'), {
    state: dir.file('flash-state'),
    ram: { 'system.flash0': dir.file('flash') },
  });
  await using flash = await Snapshot.open(dir.file('flash.snapshot'));
  t.is((await flash.info()).blocks[0]?.setPages, 4);
});

test('RAM may be given as a descriptor or a buffer, at an offset too, and be taken as such', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  const bytes = await readFile(dir.file('m0'));
  const shifted = dir.file('shifted');
  await writeFile(shifted, Buffer.concat([Buffer.alloc(2 * PAGE, 1), bytes]));
  await using handle = await open(shifted, 'r+');
  await pack(target, { ...options, ram: { m0: { fd: handle.fd, offset: 2 * PAGE } } });
  await pack(dir.file('second'), { ...options, ram: { m0: bytes } });
  const buffer = Buffer.alloc(PAGES * PAGE, 9);
  await unpack(target, { ram: { m0: buffer } });
  t.is(Buffer.compare(buffer, bytes), 0);
  await handle.write(Buffer.alloc(PAGES * PAGE, 7), 0, PAGES * PAGE, 2 * PAGE);
  await unpack(dir.file('second'), { ram: { m0: { fd: handle.fd, offset: 2 * PAGE } } });
  t.is(Buffer.compare((await readFile(shifted)).subarray(2 * PAGE), bytes), 0);
});

test('a snapshot goes to a pair of descriptors', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await writeFile(target, Buffer.alloc(8 << 20, 'x'));
  const { O_DIRECT, O_WRONLY } = (await import('node:fs')).constants;
  await using buffered = await open(target, O_WRONLY);
  await using direct = await open(target, O_WRONLY | O_DIRECT);
  const result = await pack(
    { fd: buffered.fd, directFd: direct.fd, offset: 4096 },
    { ...options, directIo: 'on' },
  );
  t.true(result.transfer.directIo);
  await using reading = await open(target);
  const ram = { m0: dir.file('out') };
  await unpack({ fd: reading.fd, offset: 4096 }, { ram });
  t.is(Buffer.compare(await readFile(ram.m0), await readFile(dir.file('m0'))), 0);
  t.true((await readFile(target)).subarray(0, 4096).every((byte) => byte === 0x78));
});

test('a snapshot in the way stays, unless it may be replaced', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await writeFile(target, 'precious');
  await t.throwsAsync(pack(target, options), { code: 'ERR_MAPPED_RAM_EXISTS' });
  t.is(await readFile(target, 'utf8'), 'precious');
  await pack(target, { ...options, overwrite: true });
  t.true((await stat(target)).size > PAGES * PAGE);
});

const WRONG: readonly {
  readonly title: string;
  readonly change: (options: PackOptions) => PackOptions;
  readonly code: string;
  readonly message: RegExp;
}[] = [
  {
    title: 'no RAM for a block',
    change: (o) => ({ ...o, ram: {} }),
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /memory of block m0 is missing/,
  },
  {
    title: 'an unknown block',
    change: (o) => ({ ...o, ram: { ...o.ram, m1: '/x' } }),
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /expected one of m0, pc.bios, found m1/,
  },
  {
    title: 'an unknown block whose zero pages are to be stored',
    change: (o) => ({ ...o, storeZeroPages: ['m1'] }),
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /expected one of m0, pc.bios, found m1/,
  },
  {
    title: 'RAM that the state has, too',
    change: (o) => ({ ...o, ram: { ...o.ram, 'pc.bios': new Uint8Array(3 * PAGE) } }),
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /pages of block pc.bios/,
  },
  {
    title: 'RAM that is too small',
    change: (o) => ({ ...o, ram: { m0: new Uint8Array(PAGE) } }),
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
    message: /expected 2867200 bytes/,
  },
  {
    title: 'RAM that is no file',
    change: (o) => ({ ...o, ram: { m0: '/dev/zero' } }),
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /\/dev\/zero/,
  },
  {
    title: 'RAM that is not there',
    change: (o) => ({ ...o, ram: { m0: '/does/not/exist' } }),
    code: 'ERR_MAPPED_RAM_IO',
    message: /\/does\/not\/exist/,
  },
  {
    title: 'a state that is not there',
    change: (o) => ({ ...o, state: '/does/not/exist' }),
    code: 'ERR_MAPPED_RAM_IO',
    message: /\/does\/not\/exist/,
  },
  {
    title: 'too many channels',
    change: (o) => ({ ...o, channels: 65 }),
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
    message: /channels: expected 1 to 64, found 65/,
  },
  {
    title: 'a negative queue depth',
    change: (o) => ({ ...o, queueDepth: -1 }),
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /queueDepth/,
  },
  {
    title: 'an odd request size',
    change: (o) => ({ ...o, requestSize: 5000 }),
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /request size/,
  },
];

for (const { title, change, code, message } of WRONG) {
  test(`${title} is refused, and nothing is left behind`, async (t) => {
    await using dir = await temporaryDirectory();
    const { target, options } = await material(dir);
    const before = await readdir(dir.path);
    await t.throwsAsync(pack(target, change(options)), { code, message });
    t.deepEqual(await readdir(dir.path), before);
  });
}

test('a state that is cut off is refused wherever it is cut', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  const whole = await readFile(dir.file('state'));
  const end = whole.lastIndexOf(Buffer.from([0, 6]));
  for (let length = 0; length <= end; length += 97) {
    await writeFile(dir.file('cut'), whole.subarray(0, length));
    await t.throwsAsync(
      pack(target, { ...options, state: dir.file('cut') }),
      { name: 'MappedRamError' },
      `cut at ${length}`,
    );
  }
  t.false((await readdir(dir.path)).includes('snapshot'));
});

test("a descriptor's file is untouched when the arguments are wrong", async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await writeFile(target, 'precious');
  await using handle = await open(target, 'r+');
  await t.throwsAsync(pack({ fd: handle.fd }, { ...options, ram: {} }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  t.is(await readFile(target, 'utf8'), 'precious');
});

test('a file that guests run from is not written in place, whatever it is taken for', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  await pack(dir.file('other'), options);
  const before = await readFile(dir.file('other'));
  const busy = { code: 'ERR_MAPPED_RAM_BUSY', message: /guests run from it/ };
  const places = (file: FileHandle): readonly RamLocation[] => [
    { fd: file.fd, offset: PAGE },
    { path: dir.file('other'), offset: PAGE },
  ];
  {
    await using clone = await open(dir.file('other'), 'r');
    lockFile(clone.fd, 'shared', 'other');
    await using handle = await open(dir.file('other'), 'r+');
    for (const m0 of places(handle)) await t.throwsAsync(unpack(target, { ram: { m0 } }), busy);
    t.deepEqual(await readFile(dir.file('other')), before);
  }
  // Both blocks may be in one file.
  await using handle = await open(dir.file('other'), 'r+');
  for (const m0 of places(handle)) {
    const bios = { path: dir.file('other'), offset: 2 * PAGES * PAGE };
    await unpack(target, { ram: { m0, 'pc.bios': bios } });
  }
  await using late = await open(dir.file('other'), 'r');
  t.true(lockFile(late.fd, 'shared', 'other'), 'the lock is gone afterwards');
});

test('one file in two roles is refused', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  const same = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /same file/ };
  const out = dir.file('out');
  const overwrite = true;
  await t.throwsAsync(unpack(target, { ram: { m0: out }, state: `${dir.path}/./out`, overwrite }), same);
  await t.throwsAsync(unpack(target, { ram: { m0: out, 'pc.bios': out }, overwrite }), same);
  await t.throwsAsync(unpack(target, { ram: { m0: target }, overwrite }), same);
  await t.throwsAsync(pack(dir.file('m0'), { ...options, overwrite }), same);
  await t.throwsAsync(pack(dir.file('state'), { ...options, overwrite }), same);
});

test('when one of two outputs cannot appear, none does', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  await writeFile(dir.file('taken'), 'precious');
  const before = await readdir(dir.path);
  const ram = { m0: dir.file('new'), 'pc.bios': dir.file('taken') };
  await t.throwsAsync(unpack(target, { ram }), { code: 'ERR_MAPPED_RAM_EXISTS' });
  t.deepEqual(await readdir(dir.path), before);
});

test('RAM of another size than its block is refused', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await writeFile(dir.file('other'), Buffer.alloc((PAGES + 1) * PAGE));
  const wrong = { ...options, ram: { m0: dir.file('other') } };
  await t.throwsAsync(pack(target, wrong), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /another size/,
  });
  await pack(target, { ...options, ram: { m0: { path: dir.file('other'), offset: 0n } } });
});

test('an abort while pages of the state are collected, and of an unpack, leaves nothing behind', async (t) => {
  await using dir = await temporaryDirectory();
  const pages = Array.from({ length: 8192 }, (_, page) => ({
    block: 'm0',
    offset: page * PAGE,
    bytes: testPage(page),
  }));
  const blocks = [{ id: 'm0', length: pages.length * PAGE }];
  await writeFile(dir.file('state'), syntheticState({ ignoreShared: false, blocks, pages }));
  const whole = dir.file('whole');
  await pack(whole, { state: dir.file('state') });
  const before = await readdir(dir.path);
  const reason = new Error('enough');
  let aborted = 0;
  for (const delayMs of [1, 5, 10, 20, 40]) {
    for (const run of [
      (signal: AbortSignal) => pack(dir.file('new'), { state: dir.file('state'), overwrite: true, signal }),
      (signal: AbortSignal) => unpack(whole, { state: dir.file('new'), overwrite: true, signal }),
      (signal: AbortSignal) =>
        unpack(whole, { ram: { m0: dir.file('new') }, overwrite: true, requestSize: PAGE, signal }),
    ]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), delayMs);
      const result = await run(controller.signal).catch((error: unknown) => error);
      if (result !== reason) continue;
      aborted += 1;
      t.deepEqual(
        (await readdir(dir.path)).filter((name) => !before.includes(name) && name !== 'new'),
        [],
      );
    }
  }
  t.true(aborted >= 3, `only ${aborted} were aborted in time`);
});

test('an abort leaves nothing behind and rejects with its reason', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  const before = await readdir(dir.path);
  const reason = new Error('enough');
  await t.throwsAsync(pack(target, { ...options, signal: AbortSignal.abort(reason) }), { is: reason });
  for (const delayMs of [0, 1, 2, 3, 5, 8]) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), delayMs);
    const slow = { requestSize: PAGE, queueDepth: 1, channels: 1, signal: controller.signal };
    const result = await pack(target, { ...options, ...slow, overwrite: true }).catch(
      (error: unknown) => error,
    );
    if (result === reason)
      t.deepEqual(
        (await readdir(dir.path)).filter((name) => !before.includes(name) && name !== 'snapshot'),
        [],
      );
    else t.true((await stat(target)).size > 0);
  }
});

test.serial('neither success nor failure leaks descriptors or threads', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  const run = async (): Promise<void> => {
    for (const way of WAYS) {
      await pack(target, { ...options, ...way, channels: 3, overwrite: true });
      await unpack(target, { ram: { m0: dir.file('out') }, ...way, overwrite: true });
      await pack(target, { ...options, ...way, ram: { m0: '/dev/zero' }, overwrite: true }).catch(
        () => undefined,
      );
      const controller = new AbortController();
      setImmediate(() => controller.abort());
      await pack(target, { ...options, ...way, overwrite: true, signal: controller.signal }).catch(
        () => undefined,
      );
    }
  };
  await assertNoLeak(t, run, async () => {
    for (let round = 0; round < 5; round += 1) await run();
  });
});

test('progress goes up to the end, and what its listener throws changes nothing', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  const seen: number[] = [];
  await pack(target, {
    ...options,
    onProgress: ({ bytesDone, bytesTotal }) => {
      seen.push(bytesDone);
      t.is(bytesTotal, (PAGES + 3) * PAGE);
      throw new Error('a listener that fails');
    },
  });
  t.is(seen.at(-1), (PAGES + 3) * PAGE);
  t.deepEqual(
    seen,
    seen.toSorted((left, right) => left - right),
  );
});
