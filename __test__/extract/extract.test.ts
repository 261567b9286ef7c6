import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';

import { extract, Snapshot } from '../../ts/index.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { PAGE, syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';
import {
  generatedBlock,
  naiveMemory,
  writeGenerated,
  type GeneratedBlock,
} from '../pages/generated-snapshot.ts';

const GIB = 2 ** 30;
/** The room for a filesystem's own records of a file's pieces, in bytes. */
const METADATA = 64 * 1024;

/** The room on the disk, in bytes, of a file into which a loop has written the set pages and nothing else. */
async function naiveAllocation(dir: TemporaryDirectory, block: GeneratedBlock): Promise<number> {
  const memory = naiveMemory(block);
  await using handle = await open(dir.file('naive'), 'w');
  await handle.truncate(memory.length);
  for (const page of block.set) await handle.write(memory, page * PAGE, PAGE, page * PAGE);
  await handle.sync();
  return (await handle.stat()).blocks * 512;
}

for (const way of WAYS) {
  test(`a block is extracted as a naive loop would: ${way.ioEngine}, direct I/O ${way.directIo}`, async (t) => {
    await using dir = await temporaryDirectory();
    const [path, output] = [dir.file('guest.mr'), dir.file('a.raw')];
    await fc.assert(
      fc.asyncProperty(generatedBlock('a', 900), fc.constantFrom(0, 3 * PAGE), async (block, base) => {
        await writeGenerated(path, { base, blocks: [block] });
        const source = `file:${path},offset=${base}`;
        const options = {
          format: 'raw',
          block: 'a',
          overwrite: true,
          requestSize: 64 * 1024,
          ...way,
        } as const;
        const { ranges, size, transfer } = await extract(source, output, options);
        t.is(Buffer.compare(await readFile(output), naiveMemory(block)), 0);
        t.is(transfer?.ioEngine, way.ioEngine);
        t.is(transfer?.dataBytes, block.set.length * PAGE);
        const length = block.pages * PAGE;
        t.is(size, length);
        t.deepEqual(ranges, [{ address: undefined, length, block: 'a', offset: 0, fileOffset: 0 }]);
        const allocated = (await stat(output)).blocks * 512;
        const expected = await naiveAllocation(dir, block);
        t.true(allocated <= expected + METADATA, `allocated ${allocated}, a naive loop ${expected}`);
      }),
      { numRuns: 12 },
    );
  });
}

test('guest-physical memory is extracted to its addresses, wherever RAM is cut', async (t) => {
  await using dir = await temporaryDirectory();
  const [path, output] = [dir.file('guest.mr'), dir.file('all.raw')];
  const blocks = fc.tuple(generatedBlock('a', 700), generatedBlock('b', 500));
  const bios = { id: 'pc.bios', pages: 32, set: [0, 17, 31], stale: [1] };
  await fc.assert(
    fc.asyncProperty(
      blocks,
      fc.integer({ min: 1, max: 1000 }),
      fc.boolean(),
      async (ram, lowPages, swapped) => {
        await writeGenerated(path, { machine: 'microvm', blocks: [...ram, bios] });
        const ordered = swapped ? ram.toReversed() : ram;
        const options = {
          format: 'raw',
          overwrite: true,
          lowMemory: lowPages * PAGE,
          ramBlocks: ordered.map(({ id }) => id),
        } as const;
        const { size, assumptions } = await extract(path, output, options);
        t.deepEqual(assumptions, []);
        const memory = Buffer.concat(ordered.map((block) => naiveMemory(block)));
        const firmware = naiveMemory(bios);
        const low = Math.min(lowPages * PAGE, memory.length);
        const expected = Buffer.alloc(Math.max(low, 0x100000));
        memory.copy(expected, 0, 0, low);
        firmware.copy(expected, 0x100000 - firmware.length);
        await using handle = await open(output);
        await compare(t, handle, 0, expected);
        await compare(t, handle, 4 * GIB - firmware.length, Buffer.concat([firmware, memory.subarray(low)]));
        t.is(size, 4 * GIB + memory.length - low);
        t.true((await handle.stat()).blocks * 512 < 2 * (memory.length + METADATA));
        await using snapshot = await Snapshot.open(path);
        const map = await snapshot.physicalMap(options);
        const piece = await snapshot.readPhysical(
          4 * GIB - firmware.length,
          firmware.length + memory.length - low,
          map,
        );
        t.is(Buffer.compare(piece, Buffer.concat([firmware, memory.subarray(low)])), 0);
      },
    ),
    // The example puts one block of RAM wholly behind the firmware.
    { numRuns: 30, examples: [[[dense('a', 224), dense('b', 16)], 1000, false]] },
  );
});

function dense(id: string, pages: number): GeneratedBlock {
  return { id, pages, set: [0, pages - 1], stale: [] };
}

async function compare(
  t: ExecutionContext,
  handle: Awaited<ReturnType<typeof open>>,
  offset: number,
  expected: Buffer,
): Promise<void> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(expected.length), 0, expected.length, offset);
  t.is(bytesRead, expected.length);
  t.is(Buffer.compare(buffer, expected), 0, `at ${offset}`);
}

/** A guest with RAM in `m0`, and a snapshot of it. */
async function guest(dir: TemporaryDirectory, machine?: string, pages = 2000): Promise<string> {
  const path = dir.file('guest.mr');
  const set = Array.from({ length: pages }, (_, page) => page);
  const block = { id: 'm0', pages, set, stale: [] };
  await writeGenerated(path, machine === undefined ? { blocks: [block] } : { machine, blocks: [block] });
  return path;
}

test('an output appears only when it is complete, and replaces nothing unasked', async (t) => {
  await using dir = await temporaryDirectory();
  const path = await guest(dir);
  const output = dir.file('out');
  await writeFile(output, 'precious');
  const raw = { format: 'raw', block: 'm0' } as const;
  await t.throwsAsync(extract(path, output, raw), { code: 'ERR_MAPPED_RAM_EXISTS' });
  t.is(await readFile(output, 'utf8'), 'precious');
  await t.throwsAsync(extract(path, path, { ...raw, overwrite: true }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /same file/,
  });
  await t.throwsAsync(extract(path, dir.file('new'), { ...raw, block: 'm1' }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  await t.throwsAsync(extract(path, dir.file('new'), { ...raw, format: 'elf' }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  // The snapshot has no CPU.
  await t.throwsAsync(extract(path, dir.file('new'), { format: 'elf' }), {
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
  });
  t.deepEqual((await readdir(dir.path)).toSorted(), ['guest.mr', 'out']);
});

test.serial('an abort leaves neither file nor thread nor descriptor', async (t) => {
  await using dir = await temporaryDirectory();
  const path = await guest(dir);
  const abortedRun = async (): Promise<void> => {
    const controller = new AbortController();
    const slowly = {
      channels: 1,
      queueDepth: 1,
      requestSize: PAGE,
      ioEngine: 'threads',
      directIo: 'on',
    } as const;
    const running = extract(path, dir.file('out'), {
      format: 'raw',
      block: 'm0',
      ...slowly,
      signal: controller.signal,
    });
    while ((await readdir(dir.path)).length === 1) await new Promise((resolve) => setImmediate(resolve));
    controller.abort(new Error('enough'));
    await t.throwsAsync(running, { message: 'enough' });
    t.deepEqual(await readdir(dir.path), ['guest.mr']);
  };
  await assertNoLeak(t, abortedRun, async () => {
    await abortedRun();
    await abortedRun();
  });
});

test('a machine whose layout is not known is refused by its name; its blocks are not', async (t) => {
  await using dir = await temporaryDirectory();
  for (const machine of ['pseries-9.2', 'virt', 'virt-10.0', 'xenfv', '']) {
    const path = await guest(dir, machine, 20);
    const error = await t.throwsAsync(extract(path, dir.file('out'), { format: 'raw' }), {
      code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    });
    t.regex(error?.message ?? '', machine === '' ? /without a name/ : new RegExp(`found ${machine}$`));
    await extract(path, dir.file('out'), { format: 'raw', block: 'm0', overwrite: true });
    t.is((await stat(dir.file('out'))).size, 20 * PAGE);
    await using snapshot = await Snapshot.open(path);
    await t.throwsAsync(snapshot.readPhysical(0, 1), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  }
});

test('a plain stream and a file that is cut off are refused', async (t) => {
  await using dir = await temporaryDirectory();
  const plain = dir.file('plain');
  await writeFile(plain, syntheticState({ ignoreShared: false, blocks: [{ id: 'm0', length: PAGE }] }));
  await t.throwsAsync(extract(plain, dir.file('out'), { format: 'raw', block: 'm0' }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
  });
  const path = await guest(dir);
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, bytes.length - 8));
  await t.throwsAsync(extract(path, dir.file('out'), { format: 'raw', block: 'm0' }), {
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
  });
  t.deepEqual((await readdir(dir.path)).toSorted(), ['guest.mr', 'plain']);
});
