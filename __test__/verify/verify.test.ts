import { bitmapBytes } from '../../ts/stream/page-area.ts';
import { constants } from 'node:fs';
import { open, readdir, readFile, truncate, unlink, writeFile } from 'node:fs/promises';

import test from 'ava';

import { pack, Snapshot, verify, type PackOptions, type VerifyResult } from '../../ts/index.ts';
import { RAM_SECTION_ID } from '../../ts/stream/constants.ts';
import { encodeEof, encodeSectionContinuation } from '../../ts/stream/section.ts';
import { encodeMappedRamStart, encodeRamEos } from '../../ts/stream/write/encode-ram.ts';
import { scanPages } from '../../ts/verify/scan-pages.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { libvirtBeginning } from '../support/libvirt.ts';
import { PAGE, syntheticState, testPage, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';
import { naiveBlock, naiveSeal } from './naive-seal.ts';

const PAGES = 700;
/** The number of pages in a sealed piece. */
const IN_PIECE = 64;

interface Material {
  readonly target: string;
  readonly seal: string;
  readonly options: PackOptions;
}

/** RAM with data, holes and written zeros, and a small block whose page is in the state. */
async function material(dir: TemporaryDirectory): Promise<Material> {
  const blocks = [
    { id: 'm0', length: PAGES * PAGE },
    { id: 'pc.bios', length: 3 * PAGE },
  ];
  const pages = [{ block: 'pc.bios', offset: PAGE, bytes: testPage(1) }];
  await writeFile(dir.file('state'), syntheticState({ blocks, pages }));
  // The block has pieces without data, sparse ones, and dense ones.
  await writeRam(dir.file('m0'), PAGES, (page) => page >= 128 && (page % 5 === 0 || page > 600));
  const options = { state: dir.file('state'), ram: { m0: dir.file('m0') } };
  return { target: dir.file('snapshot'), seal: dir.file('snapshot.seal'), options };
}

async function places(
  path: string,
): Promise<ReadonlyMap<string, { pagesOffset: number; bitmapOffset: number }>> {
  await using snapshot = await Snapshot.open(path);
  return new Map(snapshot.completeRam().blocks.map(({ id, area }) => [id, area]));
}

/** Flips a bit in the byte at each of these offsets of the file. */
async function flip(path: string, ...offsets: readonly number[]): Promise<void> {
  await using handle = await open(path, 'r+');
  for (const offset of offsets) {
    const byte = new Uint8Array(1);
    await handle.read(byte, 0, 1, offset);
    await handle.write(Uint8Array.of((byte[0] ?? 0) ^ 4), 0, 1, offset);
  }
}

function codes({ findings }: VerifyResult): readonly string[] {
  return findings.map(({ code }) => code);
}

for (const way of WAYS) {
  test(`pack and verify write the seal that a page loop makes: ${way.ioEngine}, direct I/O ${way.directIo}`, async (t) => {
    await using dir = await temporaryDirectory();
    const { target, seal, options } = await material(dir);
    for (const [offset, storeZeroPages] of [
      [0, 'firmware'],
      [4096, 'all'],
    ] as const) {
      const uri = `file:${target}${offset},offset=${offset}`;
      const sealed = `${target}${offset}.seal`;
      const packed = await pack(uri, { ...options, ...way, storeZeroPages, seal: true });
      t.is(packed.seal, sealed);
      await using snapshot = await Snapshot.open(uri);
      const expected = naiveSeal(
        await readFile(`${target}${offset}`),
        offset,
        snapshot.completeRam().blocks.map(naiveBlock),
      );
      t.is(Buffer.compare(await readFile(sealed), expected), 0, 'the seal that pack wrote');
      const verified = await verify(uri, { ...way, seal: true, sealPath: seal });
      t.deepEqual(verified.seal, { path: seal, state: 'written' });
      t.is(Buffer.compare(await readFile(seal), expected), 0, 'the seal that verify wrote');
      const checked = await verify(uri, way);
      t.deepEqual([checked.findings, checked.seal], [[], { path: sealed, state: 'checked' }]);
      t.is(checked.transfer?.ioEngine, way.ioEngine);
      t.is(checked.transfer?.directIo, way.directIo === 'on');
      await t.throwsAsync(verify(uri, { seal: true }), { code: 'ERR_MAPPED_RAM_EXISTS' });
      t.is((await verify(uri, { seal: true, overwrite: true })).seal?.state, 'written');
      await unlink(seal);
    }
  });
}

test('what differs from the seal is named by block and pages, touching pieces together', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, { ...options, seal: true });
  const { pagesOffset = 0 } = (await places(target)).get('m0') ?? {};
  const bios = (await places(target)).get('pc.bios')?.pagesOffset ?? 0;
  await flip(target, ...[200, 260, 320, 690].map((page) => pagesOffset + page * PAGE + 17), bios + PAGE);
  const { findings, verified } = await verify(target);
  t.false(verified);
  t.deepEqual(
    findings.map(({ code, block, pages, offset }) => [code, block, pages, offset]),
    [
      ['pages-differ', 'm0', { first: 192, count: 3 * IN_PIECE }, pagesOffset + 192 * PAGE],
      ['pages-differ', 'm0', { first: 640, count: PAGES - 640 }, pagesOffset + 640 * PAGE],
      ['pages-differ', 'pc.bios', { first: 0, count: 3 }, bios],
    ],
  );
});

test('a bit that goes is found in the metadata and named by its piece; a page that was never set does not matter', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, { ...options, seal: true });
  const { bitmapOffset = 0, pagesOffset = 0 } = (await places(target)).get('m0') ?? {};
  await flip(target, pagesOffset + 131 * PAGE);
  t.deepEqual((await verify(target)).findings, []);
  // The flip takes bit 2 of byte 16, which is page 130's.
  await flip(target, bitmapOffset + 16);
  const lost = await verify(target);
  t.deepEqual(codes(lost), ['metadata-differs', 'pages-differ']);
  t.deepEqual(lost.findings[1]?.pages, { first: 128, count: IN_PIECE });
});

test('of a file whose headers are damaged the seal tells which pages are intact', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, { ...options, seal: true });
  await using snapshot = await Snapshot.open(target);
  const [, second] = snapshot.completeRam().blocks;
  await flip(target, (second?.headerOffset ?? 0) + 2);
  const result = await verify(target);
  t.deepEqual(codes(result), ['stream-unsupported', 'metadata-differs']);
  await truncate(target, second?.area.pagesOffset ?? 0);
  t.deepEqual(codes(await verify(target)), ['stream-unsupported', 'size-differs']);
});

test('a snapshot that has errors is not sealed, and nothing is left', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  await using handle = await open(target, 'r+');
  await handle.truncate((await handle.stat()).size - 1);
  const before = await readdir(dir.path);
  const result = await verify(target, { seal: true });
  t.deepEqual([codes(result), result.seal, result.verified], [['device-state-unmeasured'], undefined, false]);
  const aborted = AbortSignal.abort(new Error('enough'));
  await t.throwsAsync(verify(target, { seal: true, signal: aborted }), { message: 'enough' });
  await t.throwsAsync(verify(target, { seal: true, requestSize: 8 * PAGE }), {
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
  });
  t.deepEqual(await readdir(dir.path), before);
});

test('what follows the stream is worth a warning, and an error against a seal', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, { ...options, seal: true });
  await using handle = await open(target, 'a');
  await handle.write('the rest of a volume');
  t.deepEqual(codes(await verify(target)), ['trailing-bytes', 'size-differs']);
  await unlink(`${target}.seal`);
  const { findings, verified } = await verify(target);
  t.deepEqual(
    [findings.map(({ code, severity }) => [code, severity]), verified],
    [[['trailing-bytes', 'warning']], true],
  );
});

test('a snapshot with too many set pages for a seal is refused before they are read', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('large');
  const length = 7 * 2 ** 40;
  const start = encodeMappedRamStart({
    // The bitmap of pages of 64 KiB is small enough for a test.
    configuration: { machine: 'virt-10.0', capabilities: ['mapped-ram'], targetPageBits: 16 },
    blocks: [{ id: 'mach-virt.ram', length }],
  });
  const [block] = start.layout.blocks;
  await using handle = await open(path, 'w');
  for (const { offset, bytes } of start.segments) await handle.write(bytes, 0, bytes.length, offset);
  const bitmap = Buffer.alloc(block === undefined ? 0 : bitmapBytes(block.area), 0xff);
  await handle.write(bitmap, 0, bitmap.length, block?.area.bitmapOffset);
  const end = Buffer.concat([encodeSectionContinuation('end', RAM_SECTION_ID), encodeRamEos(), encodeEof()]);
  await handle.write(end, 0, end.length, start.endOffset);
  await t.throwsAsync(verify(path, { seal: true, signal: AbortSignal.timeout(60_000) }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /too many pages to be sealed/,
  });
  // Half of the pages fit into a seal, but reading them takes too long to wait for.
  await handle.write(Buffer.alloc(bitmap.length / 2), 0, bitmap.length / 2, block?.area.bitmapOffset);
  const aborted = new AbortController();
  const work = verify(path, {
    seal: true,
    signal: aborted.signal,
    onProgress: () => aborted.abort(new Error('enough')),
  });
  await t.throwsAsync(work, { message: 'enough' });
});

test('an abort while pages are read ends it with the reason', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  const controller = new AbortController();
  const work = verify(target, {
    seal: true,
    signal: controller.signal,
    channels: 1,
    queueDepth: 1,
    requestSize: 1 << 18,
  });
  setImmediate(() => controller.abort(new Error('enough')));
  await t.throwsAsync(work, { message: 'enough' });
  t.deepEqual(
    (await readdir(dir.path)).filter((name) => name.includes('seal')),
    [],
  );
});

test('a seal may be elsewhere; one that is named must be there, and must not be the snapshot', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  const sealPath = dir.file('elsewhere');
  await t.throwsAsync(pack(target, { ...options, seal: true, sealPath: target }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  await pack(target, { ...options, seal: true, sealPath });
  t.is((await verify(target)).seal, undefined);
  t.is((await verify(target, { sealPath })).seal?.state, 'checked');
  await t.throwsAsync(verify(target, { sealPath: dir.file('missing') }), { code: 'ERR_MAPPED_RAM_IO' });
  await t.throwsAsync(verify(target, { seal: true, sealPath: target, overwrite: true }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
});

test('a seal is checked whatever the size of its pieces, and a request size that does not go with them is refused as such', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, seal, options } = await material(dir);
  await pack(target, options);
  const file = await readFile(target);
  await using snapshot = await Snapshot.open(target);
  const { blocks } = snapshot.completeRam();
  for (let pieceSize = PAGE; pieceSize <= 16 << 20; pieceSize *= 4) {
    await writeFile(seal, naiveSeal(file, 0, blocks.map(naiveBlock), PAGE, pieceSize));
    for (const ioEngine of ['auto', 'threads'] as const) {
      const { findings, seal: used, transfer } = await verify(target, { ioEngine });
      t.deepEqual([findings, used?.state], [[], 'checked'], `pieces of ${pieceSize}`);
      t.is(transfer?.requestSize, Math.max(1 << 20, pieceSize));
    }
    const given = await verify(target, { requestSize: pieceSize, queueDepth: 1 });
    t.deepEqual([given.verified, given.transfer?.requestSize], [true, pieceSize]);
    if (pieceSize === PAGE) continue;
    await t.throwsAsync(verify(target, { requestSize: pieceSize / 2 }), {
      code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
      message: `the seal's pieces have ${pieceSize} bytes, and a request must hold whole ones: request size: expected a multiple of ${pieceSize}, found ${pieceSize / 2}`,
    });
  }
});

test('a seal that is damaged, of another place or of another snapshot is a finding', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, seal, options } = await material(dir);
  await pack(target, { ...options, seal: true });
  await pack(dir.file('other'), { ...options, ram: { m0: Buffer.alloc(PAGES * PAGE, 7) } });
  t.deepEqual(codes(await verify(dir.file('other'), { sealPath: seal })), [
    'metadata-differs',
    'pages-differ',
  ]);
  await pack(`file:${dir.file('behind')},offset=4096`, options);
  const behind = `file:${dir.file('behind')},offset=4096`;
  const elsewhere = await verify(behind, { sealPath: seal });
  t.deepEqual([codes(elsewhere), elsewhere.seal], [['seal-unusable'], { path: seal, state: 'unusable' }]);
  await flip(seal, 60);
  t.deepEqual(codes(await verify(target)), ['seal-unusable']);
  await writeFile(seal, 'something else');
  const result = await verify(target);
  t.deepEqual([codes(result), result.seal], [['seal-unusable'], { path: seal, state: 'unusable' }]);
});

test('a snapshot that is replaced by name loses its old seal, and nothing else of that name', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, seal, options } = await material(dir);
  await pack(target, { ...options, seal: true });
  await pack(target, { ...options, overwrite: true, storeZeroPages: 'all' });
  t.false((await readdir(dir.path)).includes('snapshot.seal'));
  t.deepEqual((await verify(target)).findings, []);
  await pack(target, { ...options, overwrite: true, seal: true });
  t.is((await verify(target)).seal?.state, 'checked');
  await writeFile(seal, 'mine');
  await t.throwsAsync(pack(dir.file('snapshot'), { ...options, overwrite: false, seal: true }));
  await pack(target, { ...options, overwrite: true });
  t.is(await readFile(seal, 'utf8'), 'mine');
});

test('descriptors can be sealed and verified, when it is said where the seal is', async (t) => {
  await using dir = await temporaryDirectory();
  const { options } = await material(dir);
  const sealPath = dir.file('the.seal');
  await writeFile(dir.file('target'), '');
  await using writable = await open(dir.file('target'), 'r+');
  await using writeOnly = await open(dir.file('target'), constants.O_WRONLY);
  await t.throwsAsync(pack({ fd: writable.fd }, { ...options, seal: true }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  await pack({ fd: writeOnly.fd, offset: 4096 }, { ...options, seal: true, sealPath });
  await using readable = await open(dir.file('target'), 'r');
  const source = { fd: readable.fd, offset: 4096 };
  t.is((await verify(source)).seal, undefined);
  const { seal, findings } = await verify(source, { sealPath });
  t.deepEqual([seal?.state, findings], ['checked', []]);
  await t.throwsAsync(verify(source, { seal: true }), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
});

test('what is no snapshot at all is an error, not a finding', async (t) => {
  await using dir = await temporaryDirectory();
  const { options } = await material(dir);
  await writeFile(dir.file('text'), 'no snapshot');
  await writeFile(dir.file('empty'), '');
  await t.throwsAsync(verify(dir.file('text')), { code: 'ERR_MAPPED_RAM_BAD_MAGIC' });
  await t.throwsAsync(verify(dir.file('empty')), { code: 'ERR_MAPPED_RAM_TRUNCATED' });
  await t.throwsAsync(verify(dir.file('missing')), { code: 'ERR_MAPPED_RAM_IO' });
  await t.throwsAsync(verify(dir.path), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  await t.throwsAsync(verify(options.state), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});

test('of a libvirt save image in the format sparse the stream in it is verified, and sealed', async (t) => {
  await using dir = await temporaryDirectory();
  const { options } = await material(dir);
  const start = libvirtBeginning('sparse');
  const image = dir.file('image');
  await writeFile(image, start);
  await using handle = await open(image, 'r+');
  await pack({ fd: handle.fd, offset: start.length }, options);
  t.like(await verify(image, { seal: true }), {
    offset: start.length,
    findings: [],
    seal: { state: 'written' },
  });
  t.like(await verify({ fd: handle.fd }), { offset: start.length, findings: [] });
  const [page = 0] = [...(await places(image)).values()].map(({ pagesOffset }) => pagesOffset + 200 * PAGE);
  await flip(image, page);
  t.deepEqual(codes(await verify(image)), ['pages-differ']);
});

test.serial('a libvirt save image without a mapped-ram file in it is refused for what it is', async (t) => {
  await using dir = await temporaryDirectory();
  await material(dir);
  const stream = await readFile(dir.file('state'));
  const image = dir.file('image');
  for (const [header, code, message] of [
    [{}, 'ERR_MAPPED_RAM_UNSUPPORTED', /found a plain stream/],
    [{ format: 5 }, 'ERR_MAPPED_RAM_UNSUPPORTED', /compressed this save image with zstd/],
    [{ magic: 'LibvirtQemudPart' }, 'ERR_MAPPED_RAM_INCOMPLETE', /has not finished/],
  ] as const) {
    await writeFile(image, Buffer.concat([libvirtBeginning('raw', header), stream]));
    const refused = async (): Promise<void> => {
      await t.throwsAsync(verify(image), { code, message });
    };
    await assertNoLeak(t, refused, refused);
  }
});

test('pages that cannot be read are a finding that says where', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  await using snapshot = await Snapshot.open(target);
  const { blocks } = snapshot.completeRam();
  // The file is cut after its index was read, as when another program cuts it during a verification.
  await truncate(target, (blocks[0]?.area.pagesOffset ?? 0) + 650 * PAGE);
  const { findings, report } = await scanPages(snapshot.reader, { blocks, pieceSize: undefined }, {});
  t.is(report, undefined);
  t.like(findings, [{ severity: 'error', code: 'unreadable' }]);
  t.is(typeof findings[0]?.offset, 'number');
  t.false(findings[0]?.message.includes(target), findings[0]?.message);
});

test.serial('verifying and sealing leave no descriptor and no thread behind', async (t) => {
  await using dir = await temporaryDirectory();
  const { target, options } = await material(dir);
  await pack(target, options);
  const round = async (): Promise<void> => {
    await verify(target, { seal: true, overwrite: true });
    await verify(target);
    await t.throwsAsync(verify(target, { requestSize: 3 }));
  };
  await assertNoLeak(t, round, async () => {
    for (let count = 0; count < 5; count += 1) await round();
  });
});
