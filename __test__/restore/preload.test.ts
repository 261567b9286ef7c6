import { readdir, readFile } from 'node:fs/promises';

import test from 'ava';

import { type PreloadedRam, preloadRam, assertRoom } from '../../ts/restore/preload.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { memoryOf, type SyntheticBlock, syntheticSnapshot } from './synthetic-snapshot.ts';

const BLOCKS: readonly SyntheticBlock[] = [
  { id: 'm0', pages: 300 },
  // The last pages of m1 are clear: its file must have the full size all the same.
  { id: 'm1', pages: 100, isData: (page) => page === 7 },
  { id: 'pc.bios', pages: 4 },
];

// Serial: another test would open the descriptor's number again.
test.serial('memory is loaded into files that have no name', async (t) => {
  await using dir = await temporaryDirectory();
  await using target = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  await using ram = await preloadRam(snapshot, { blocks: ['m0', 'm1'], directory: target.path });
  t.deepEqual(await readdir(target.path), []);
  t.deepEqual(Object.keys(ram.files), ['m0', 'm1']);
  for (const block of BLOCKS.slice(0, 2)) {
    t.is(Buffer.compare(await readFile(ram.files[block.id] ?? ''), memoryOf(block)), 0, block.id);
  }
  const path = ram.files['m0'] ?? '';
  await ram.close();
  await t.throwsAsync(readFile(path), { code: 'ENOENT' });
});

test.serial('nothing stays open or behind, whichever way it ends', async (t) => {
  await using dir = await temporaryDirectory();
  await using target = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const load = (blocks: readonly string[], directory: string, signal?: AbortSignal): Promise<PreloadedRam> =>
    preloadRam(snapshot, { blocks, directory, signal, ioEngine: 'threads' });
  const failing = async (): Promise<void> => {
    await (await load(['m0'], target.path)).close();
    await t.throwsAsync(load(['m0'], dir.file('nowhere')), { code: 'ERR_MAPPED_RAM_IO' });
    await t.throwsAsync(load(['m0', 'm7'], target.path), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
    const stopped = AbortSignal.abort(new Error('enough'));
    await t.throwsAsync(load(['m0'], target.path, stopped), { message: 'enough' });
  };
  await assertNoLeak(t, failing, failing);
  t.deepEqual(await readdir(target.path), []);
});

test('a directory without room for the guest’s memory is named', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const [block] = snapshot.completeRam().blocks;
  t.truthy(block);
  if (block === undefined) return;
  t.deepEqual(await assertRoom(dir.path, [block], snapshot), []);
  const [tight, ...more] = await assertRoom(dir.path, [{ ...block, length: 2 ** 52 }], snapshot);
  t.regex(tight ?? '', /has \d+ bytes left/);
  t.deepEqual(more, []);
});
