import { copyFile, open, readFile, truncate, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import { diff, pack, Snapshot, unpack, type SnapshotDiff } from '../../ts/index.ts';
import { RAM_SECTION_ID } from '../../ts/stream/constants.ts';
import { encodeEof, encodeSectionContinuation } from '../../ts/stream/section.ts';
import { encodeMappedRamStart, encodeRamEos } from '../../ts/stream/write/encode-ram.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { blockContent, kindsOf, naiveDiff, ramContent, type BlockContent } from '../support/naive-diff.ts';
import { PAGE, syntheticState, testPage, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';

const PAGES = 900;

interface Material {
  readonly left: string;
  readonly right: string;
  readonly leftRam: string;
  readonly rightRam: string;
}

/** Two snapshots of one guest. Among the pages of its block there is every way to differ or to stay alike. */
async function material(dir: TemporaryDirectory): Promise<Material> {
  const [leftRam, rightRam] = [dir.file('left.ram'), dir.file('right.ram')];
  await writeRam(leftRam, PAGES, (page) => page % 3 === 0);
  await writeRam(rightRam, PAGES, (page) => page % 3 === 0 && page % 5 !== 0);
  await using handle = await open(rightRam, 'r+');
  for (let page = 0; page < PAGES; page += 7) await handle.write(testPage(page), 0, PAGE, page * PAGE);
  for (let page = 0; page < PAGES; page += 33)
    await handle.write(Uint8Array.of(0x5a), 0, 1, page * PAGE + 4095);
  const [left, right] = [dir.file('left'), dir.file('right')];
  await packed(dir, left, leftRam, PAGES, {});
  // The right file stores its zero pages.
  await packed(dir, right, rightRam, PAGES, { storeZeroPages: 'all' });
  return { left, right, leftRam, rightRam };
}

async function packed(
  dir: TemporaryDirectory,
  target: string,
  ram: string,
  pages: number,
  options: { readonly storeZeroPages?: 'all' },
): Promise<void> {
  const state = dir.file('state');
  await writeFile(state, syntheticState({ blocks: [{ id: 'm0', length: pages * PAGE }] }));
  await pack(target, { state, ram: { m0: ram }, overwrite: true, ...options });
}

function assertAsLoop(
  t: ExecutionContext,
  { blocks, equal }: SnapshotDiff,
  left: BlockContent,
  right: BlockContent,
): void {
  const expected = naiveDiff(left, right);
  const [block] = blocks;
  t.is(block?.id, 'm0');
  t.deepEqual(kindsOf(block?.runs() ?? [], left.length), expected);
  const count = (kind: string | undefined): number => expected.filter((found) => found === kind).length;
  t.deepEqual(
    [block?.same, block?.changed, block?.becameZero, block?.becameData],
    [count(undefined), count('changed'), count('became-zero'), count('became-data')],
  );
  t.is(equal, count(undefined) === expected.length);
}

for (const way of WAYS) {
  test(`a diff equals a page loop: ${way.ioEngine}, direct I/O ${way.directIo}`, async (t) => {
    await using dir = await temporaryDirectory();
    const { left, right, rightRam } = await material(dir);
    const [a, b] = [await blockContent(left, 'm0'), await blockContent(right, 'm0')];
    const there = await diff(left, right, way);
    assertAsLoop(t, there, a, b);
    t.true((there.blocks[0]?.changed ?? 0) > 0 && (there.blocks[0]?.becameZero ?? 0) > 0);
    t.is(there.transfer.ioEngine, way.ioEngine);
    t.is(there.transfer.directIo, way.directIo === 'on');
    const set = [...a, ...b].filter((page) => page !== undefined).length;
    t.is(there.transfer.dataBytes, set * PAGE);
    assertAsLoop(t, await diff(right, left, way), b, a);
    const withRam = await diff(left, { ram: { m0: rightRam } }, way);
    assertAsLoop(t, withRam, a, await ramContent(rightRam));
    t.is(withRam.sections, undefined);
    t.is(withRam.right, undefined);
  });
}

test('what lies in the file below a clear bit does not count', async (t) => {
  await using dir = await temporaryDirectory();
  const { left } = await material(dir);
  const copy = dir.file('copy');
  await copyFile(left, copy);
  await using snapshot = await Snapshot.open(left);
  const [block] = snapshot.completeRam().blocks;
  await using handle = await open(copy, 'r+');
  for (let page = 1; page < PAGES; page += 3)
    await handle.write(testPage(9), 0, PAGE, (block?.area.pagesOffset ?? 0) + page * PAGE);
  for (const way of WAYS) t.true((await diff(left, copy, way)).equal);
});

test('a snapshot has no difference from itself, nor after unpack and pack', async (t) => {
  await using dir = await temporaryDirectory();
  const { left, right } = await material(dir);
  t.true((await diff(left, left)).equal);
  const [ram, state] = [{ m0: dir.file('m0.out') }, dir.file('state.out')];
  await unpack(right, { ram, state });
  await pack(dir.file('again'), { state, ram });
  const { equal, blocks, sections } = await diff(right, dir.file('again'));
  t.true(equal);
  t.deepEqual(sections, []);
  t.deepEqual(Array.from(blocks[0]?.runs() ?? []), []);
});

test('RAM may be a descriptor or a buffer, at an offset too; an equal one is found equal', async (t) => {
  await using dir = await temporaryDirectory();
  const { left, leftRam } = await material(dir);
  const bytes = await readFile(leftRam);
  const shifted = dir.file('shifted');
  await writeFile(shifted, Buffer.concat([Buffer.alloc(3 * PAGE, 1), bytes]));
  await using handle = await open(shifted);
  t.true((await diff(left, { ram: { m0: bytes } })).equal);
  t.true((await diff(left, { ram: { m0: { fd: handle.fd, offset: 3 * PAGE } } })).equal);
  const other = await diff(left, { ram: { m0: { fd: handle.fd, offset: 0 } } });
  t.false(other.equal);
  t.is((await handle.stat()).size, bytes.length + 3 * PAGE);
});

test('snapshots may be descriptors, at an offset of their file', async (t) => {
  await using dir = await temporaryDirectory();
  const { left, leftRam } = await material(dir);
  const inContainer = dir.file('container');
  await pack(`file:${inContainer},offset=4096`, { state: dir.file('state'), ram: { m0: leftRam } });
  await using handle = await open(inContainer);
  t.true((await diff(left, { fd: handle.fd, offset: 4096 })).equal);
  t.true((await diff(`file:${inContainer},offset=4096`, left)).equal);
});

test('blocks of one side, and what a longer block has more, are only there', async (t) => {
  await using dir = await temporaryDirectory();
  const { left } = await material(dir);
  const [ram, state, other] = [dir.file('more.ram'), dir.file('more.state'), dir.file('more')];
  await writeRam(ram, PAGES + 5, (page) => page % 3 === 0);
  const blocks = [
    { id: 'm0', length: (PAGES + 5) * PAGE },
    { id: 'vga.vram', length: 2 * PAGE },
  ];
  await writeFile(state, syntheticState({ blocks, machine: 'pc-q35-9.2' }));
  await pack(other, { state, ram: { m0: ram, 'vga.vram': new Uint8Array(2 * PAGE) } });
  const there = await diff(left, other);
  t.false(there.equal);
  t.deepEqual(there.machines, { left: 'pc-q35-10.0', right: 'pc-q35-9.2' });
  t.deepEqual(
    there.blocks.map(({ id, leftLength, rightLength, same, onlyLeft, onlyRight }) => ({
      id,
      leftLength,
      rightLength,
      same,
      only: [onlyLeft, onlyRight],
    })),
    [
      { id: 'm0', leftLength: PAGES * PAGE, rightLength: (PAGES + 5) * PAGE, same: PAGES, only: [0, 5] },
      { id: 'vga.vram', leftLength: undefined, rightLength: 2 * PAGE, same: 0, only: [0, 2] },
    ],
  );
  const runs = there.blocks.flatMap((block) => Array.from(block.runs()));
  t.deepEqual(runs, [
    { kind: 'only-right', offset: PAGES * PAGE, length: 5 * PAGE },
    { kind: 'only-right', offset: 0, length: 2 * PAGE },
  ]);
  const back = await diff(other, left);
  t.deepEqual(
    back.blocks.map(({ id, onlyLeft }) => [id, onlyLeft]),
    [
      ['m0', 5],
      ['vga.vram', 2],
    ],
  );
});

test('what cannot be compared is refused with the reason', async (t) => {
  await using dir = await temporaryDirectory();
  const { left, right, leftRam } = await material(dir);
  const wrong = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
  await t.throwsAsync(diff(left, { ram: {} }), wrong);
  await t.throwsAsync(diff(left, { ram: { nope: leftRam } }), { ...wrong, message: /nope/ });
  await t.throwsAsync(diff(left, { ram: { m0: dir.file('none') } }), { code: 'ERR_MAPPED_RAM_IO' });
  await t.throwsAsync(diff(left, dir.file('none')), { code: 'ERR_MAPPED_RAM_IO' });
  await t.throwsAsync(diff(left, dir.file('state')), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  await t.throwsAsync(diff(left, right, { channels: 65 }), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
  const short = dir.file('short.ram');
  await copyFile(leftRam, short);
  await truncate(short, PAGES * PAGE - PAGE);
  await t.throwsAsync(diff(left, { ram: { m0: short } }), { code: 'ERR_MAPPED_RAM_TRUNCATED' });
  const cut = dir.file('cut');
  await copyFile(right, cut);
  await truncate(cut, (await readFile(cut)).length - 400);
  await t.throwsAsync(diff(left, cut), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
});

/** A snapshot without pages and devices. */
async function writeBare(
  path: string,
  configuration: { readonly capabilities: readonly string[]; readonly targetPageBits?: number },
  blocks: readonly { readonly id: string; readonly length: number; readonly skipped?: boolean }[],
): Promise<string> {
  const { segments, endOffset } = encodeMappedRamStart({
    configuration: { machine: 'pc-q35-10.0', ...configuration },
    blocks: blocks.map((block) => ({ ...block, address: 0 })),
  });
  const end = [encodeSectionContinuation('end', RAM_SECTION_ID), encodeRamEos(), encodeEof()];
  await using handle = await open(path, 'w');
  for (const { offset, bytes } of [...segments, { offset: endOffset, bytes: Buffer.concat(end) }])
    await handle.write(bytes, 0, bytes.length, offset);
  return path;
}

test('blocks that were saved without their pages are named as not compared', async (t) => {
  await using dir = await temporaryDirectory();
  const shared = { capabilities: ['mapped-ram', 'x-ignore-shared'] };
  const m0 = { id: 'm0', length: 4 * PAGE };
  const m1 = { id: 'm1', length: 4 * PAGE, skipped: true };
  const left = await writeBare(dir.file('left'), shared, [m0, m1]);
  const others = [{ ...m0, skipped: true }, m1, { ...m1, id: 'm2' }];
  const right = await writeBare(dir.file('right'), shared, others);
  const { equal, blocks, notCompared } = await diff(left, right);
  t.true(equal);
  t.deepEqual(blocks, []);
  t.deepEqual(notCompared, ['m0', 'm1', 'm2']);
  const ram = new Uint8Array(4 * PAGE);
  t.deepEqual((await diff(left, { ram: { m0: ram } })).notCompared, ['m1']);
  await t.throwsAsync(diff(left, { ram: { m1: ram } }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /m1/,
  });
});

test('pages of other sizes than 4 KiB are compared, but not with each other', async (t) => {
  await using dir = await temporaryDirectory();
  const blocks = [{ id: 'm0', length: 32 * PAGE }];
  const small = await writeBare(dir.file('small'), { capabilities: ['mapped-ram'] }, blocks);
  const large = await writeBare(
    dir.file('large'),
    { capabilities: ['mapped-ram'], targetPageBits: 16 },
    blocks,
  );
  await t.throwsAsync(diff(small, large), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /4096.*65536/,
  });
  const memory = new Uint8Array(32 * PAGE);
  memory[20 * PAGE] = 1;
  const there = await diff(large, { ram: { m0: memory } });
  t.is(there.pageSize, 65536);
  t.deepEqual(Array.from(there.blocks[0]?.runs() ?? []), [
    { kind: 'became-data', offset: 65536, length: 65536 },
  ]);
});

test.serial(
  'an aborted diff rejects with the reason, and neither it nor a whole one leaves anything behind',
  async (t) => {
    await using dir = await temporaryDirectory();
    const { left, right, rightRam } = await material(dir);
    const reason = new Error('enough');
    await t.throwsAsync(diff(left, right, { signal: AbortSignal.abort(reason) }), { is: reason });
    await assertNoLeak(
      t,
      () => diff(left, right),
      async () => {
        const stopping = new AbortController();
        const aborted = diff(left, right, { signal: stopping.signal, requestSize: PAGE });
        stopping.abort(reason);
        await t.throwsAsync(aborted, { is: reason });
        for (const way of WAYS) {
          await diff(left, right, way);
          await diff(left, { ram: { m0: rightRam } }, way);
          await t.throwsAsync(diff(left, { ram: { m0: dir.file('none') } }, way));
        }
      },
    );
  },
);

test('progress goes from nothing to all of the memory', async (t) => {
  await using dir = await temporaryDirectory();
  const { left, right } = await material(dir);
  const seen: number[] = [];
  await diff(left, right, { onProgress: ({ bytesDone, bytesTotal }) => seen.push(bytesDone, bytesTotal) });
  t.deepEqual(seen.slice(-2), [PAGES * PAGE, PAGES * PAGE]);
});
