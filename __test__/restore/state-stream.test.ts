import { open, readFile, utimes, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';

import { modeOf, type RestoreMode } from '../../ts/restore/modes/modes.ts';
import { assertStateFor } from '../../ts/restore/assert-state.ts';
import { openStateStream, type StateStreamOptions } from '../../ts/restore/state-stream.ts';
import { readPieces } from '../../ts/io/read-pieces.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { bytesReader, type StreamPiece, walkStream } from '../../ts/stream/index.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { PAGE, testPage } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { memoryOf, type SyntheticBlock, syntheticSnapshot } from './synthetic-snapshot.ts';

const LARGE: SyntheticBlock = { id: 'pc.ram', pages: 300 };
const SMALL: SyntheticBlock = { id: 'pc.bios', pages: 20, isData: (page) => page % 4 < 2 };

interface Pages {
  readonly capabilities: readonly string[];
  /** Pages by block: `data` has those that come with bytes, `zero` those that come as zero pages. */
  readonly data: Readonly<Record<string, readonly number[]>>;
  readonly zero: Readonly<Record<string, readonly number[]>>;
  readonly bytes: Buffer;
}

async function pagesIn(t: ExecutionContext, snapshot: Snapshot, options: StateStreamOptions): Promise<Pages> {
  await using state = await openStateStream(snapshot, options);
  const bytes = await readFile(state.path);
  t.is(bytes.length, state.size);
  const data: Record<string, number[]> = {};
  const zero: Record<string, number[]> = {};
  let capabilities: readonly string[] = ['none seen'];
  for await (const record of walkStream(bytesReader(bytes))) {
    if (record.type === 'configuration') ({ capabilities } = record.configuration);
    if (record.type !== 'ram-page') continue;
    const pages = record.kind === 'zero' ? zero : data;
    (pages[record.block] ??= []).push(record.blockOffset / PAGE);
    if (record.kind !== 'page') continue;
    const expected = testPage(record.blockOffset / PAGE);
    t.deepEqual(bytes.subarray(record.dataOffset, record.dataOffset + PAGE), Buffer.from(expected));
  }
  return { capabilities, data, zero, bytes };
}

function pagesWhere({ pages }: SyntheticBlock, isWanted: (page: number) => boolean): readonly number[] {
  return Array.from({ length: pages }, (_, page) => page).filter((page) => isWanted(page));
}

test('blocks in place come without pages, the others with all of theirs', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [LARGE, SMALL]);
  const { capabilities, data, zero } = await pagesIn(t, snapshot, { inPlace: ['pc.ram'] });
  t.deepEqual(capabilities, []);
  t.deepEqual(data, { 'pc.bios': pagesWhere(SMALL, (page) => page % 4 < 2) });
  t.deepEqual(zero, { 'pc.bios': pagesWhere(SMALL, (page) => page % 4 >= 2) });
});

test('fresh memory needs no zero pages', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [LARGE, SMALL]);
  const { data, zero } = await pagesIn(t, snapshot, { inPlace: [], fresh: ['pc.ram'] });
  t.deepEqual(
    data['pc.ram'],
    pagesWhere(LARGE, (page) => page % 3 === 0),
  );
  t.deepEqual(Object.keys(zero), ['pc.bios']);
});

test('where a mapping would show what the file holds in place of zero pages, zero pages are sent', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [LARGE, SMALL]);
  const { pagesOffset } = snapshot.completeRam().blocks.find(({ id }) => id === 'pc.ram')?.area ?? {};
  await using file = await open(snapshot.path, 'r+');
  for (const page of [1, 2, 148, 299])
    await file.write(testPage(page), 0, PAGE, (pagesOffset ?? 0) + page * PAGE);
  // Zeros that are no hole are as good as a hole.
  await file.write(new Uint8Array(PAGE), 0, PAGE, (pagesOffset ?? 0) + 200 * PAGE);
  const { data, zero } = await pagesIn(t, snapshot, { inPlace: ['pc.ram'], mapped: true });
  t.deepEqual(Object.keys(data), ['pc.bios']);
  t.deepEqual(zero['pc.ram'], [1, 2, 148, 299]);
  await using state = await openStateStream(snapshot, { inPlace: ['pc.ram'], mapped: true });
  t.is(state.stalePages, 4);
});

// Serial: another test would open the descriptor's number again.
test.serial('the stream has no name, and goes when it is closed', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [LARGE, SMALL]);
  const once = async (): Promise<void> => {
    const state = await openStateStream(snapshot, { inPlace: ['pc.ram'] });
    const { path } = state;
    t.true((await readFile(path)).length > 0);
    await state.close();
    await state.close();
    await t.throwsAsync(readFile(path), { code: 'ENOENT' });
  };
  await assertNoLeak(t, once, once);
  const aborted = openStateStream(snapshot, { inPlace: [], signal: AbortSignal.abort(new Error('enough')) });
  await t.throwsAsync(aborted, { message: 'enough' });
});

test('pieces are read as they follow each other, wherever they lie', async (t) => {
  const source = bytesReader(memoryOf({ id: 'x', pages: 700, isData: () => true }));
  const all = await source.read(0, source.size);
  const stretch = fc.tuple(fc.nat(699), fc.integer({ min: 1, max: 300 }));
  const piece = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 20 }),
    stretch.map(([first, count]) => ({ offset: first * PAGE, length: Math.min(count, 700 - first) * PAGE })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (parts) => {
      const pieces: StreamPiece[] = parts.map((part) =>
        part instanceof Uint8Array ? { offset: 0, bytes: part } : { offset: 0, source: part },
      );
      const expected = parts.map((part) =>
        part instanceof Uint8Array ? part : all.subarray(part.offset, part.offset + part.length),
      );
      const found: Uint8Array[] = [];
      for await (const bytes of readPieces(pieces, source)) found.push(bytes);
      t.is(Buffer.compare(Buffer.concat(found), Buffer.concat(expected)), 0);
    }),
    { numRuns: 60 },
  );
});

test('a state stream is for one snapshot as it is, one mode and some blocks', async (t) => {
  await using dir = await temporaryDirectory();
  await using otherDir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [LARGE, SMALL]);
  await using other = await syntheticSnapshot(otherDir, [LARGE, SMALL]);
  await using state = await openStateStream(snapshot, { inPlace: ['pc.ram'], mapped: true });
  const refused = (message: RegExp, ...[of, mode, blocks]: Place): void => {
    t.throws(() => assertStateFor(state, of, modeOf(mode), blocks), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message,
    });
  };
  t.notThrows(() => assertStateFor(state, snapshot, modeOf('instant'), ['pc.ram']));
  await using again = await Snapshot.open(snapshot.path);
  t.notThrows(() => assertStateFor(state, again, modeOf('instant'), ['pc.ram']));
  refused(/another snapshot/, other, 'instant', ['pc.ram']);
  refused(/another kind of restore/, snapshot, 'preload', ['pc.ram']);
  refused(/another kind of restore/, snapshot, 'instant', ['pc.ram', 'pc.bios']);
  refused(/mode eager has no use for state/, snapshot, 'eager', []);
  const inContainer = dir.file('container');
  await writeFile(inContainer, Buffer.concat([Buffer.alloc(4096), await readFile(snapshot.path)]));
  await using moved = await Snapshot.open(`file:${inContainer},offset=4096`);
  refused(/another snapshot/, moved, 'instant', ['pc.ram']);
  await utimes(snapshot.path, 1, 1);
  refused(/before it was written again/, snapshot, 'instant', ['pc.ram']);
});

type Place = readonly [of: Snapshot, mode: RestoreMode, blocks: readonly string[]];
