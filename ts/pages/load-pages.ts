import { runTransfer, transferFile, type TransferOutcome } from '../engine/transfer.ts';
import type { TransferOptions } from '../engine/transfer-options.ts';
import { type OpenSource, whyNoEngine } from '../io/open-source.ts';
import type { ByteRange } from '../stream/reader.ts';
import { pageSizeOf } from './blocks.ts';
import { BitmapCache } from './bitmap-cache.ts';
import { bytesIn, fillPages } from './fill-pages.ts';
import { openEach, openMemoryTarget } from './memory-access.ts';
import { loadOverlay, type LoadPages } from './overlay/load-overlay.ts';
import { PieceDigests } from './piece-digests.ts';
import { WindowRun } from './window-run.ts';

/**
 * Reads the pages of blocks out of a snapshot. The engine does so where it can open the snapshot; a delta and its base
 * one after the other.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} as `runTransfer` and `WindowRun`; the source's errors
 */
export async function loadPages(
  source: OpenSource,
  plan: LoadPages,
  options: TransferOptions,
): Promise<TransferOutcome> {
  const layered = await loadOverlay(source, plan, options);
  if (layered !== undefined) return layered;
  if (source.file === undefined) return loadByWindows(source, plan, options);
  return runTransfer({ ...plan, file: transferFile(source.file) }, options);
}

async function loadByWindows(
  source: OpenSource,
  { direction, regions, pieceSize }: LoadPages,
  options: TransferOptions,
): Promise<TransferOutcome> {
  options.signal?.throwIfAborted();
  const lengths = regions.map(({ area }) => area.length);
  const pageSize = pageSizeOf(regions.map(({ area }) => area));
  const run = new WindowRun(lengths, pieceSize ?? pageSize, whyNoEngine(source), options);
  const digests = pieceSize === undefined ? undefined : new PieceDigests(regions.length, pieceSize, pageSize);
  const cache = new BitmapCache(source);
  const loaded = direction === 'load' ? regions : [];
  await using memories = await openEach(loaded, ({ name, memory = {}, area }) =>
    openMemoryTarget(name, memory, area.length),
  );
  await run.run(() => {
    const buffer = Buffer.allocUnsafe(run.windowBytes);
    return async ({ block, offset, length }) => {
      const region = regions[block];
      if (region === undefined) return;
      const bytes = buffer.subarray(0, length).fill(0);
      const runs = await fillPages(source, cache, region.area, bytes, offset);
      digests?.add(block, offset, bytes);
      // Memory that may hold something gets the zero pages too.
      const written = region.memoryIsZero === true ? runs : [{ offset: 0, length }];
      for (const part of written)
        await memories.list[block]?.write(stretch(bytes, part), offset + part.offset);
      run.count(length, bytesIn(runs));
    };
  });
  const buffers = regions.map(({ memory }, index) =>
    memory?.bufferLength === undefined ? null : (memories.list[index]?.buffer ?? null),
  );
  return { report: run.report(), buffers, pieces: digests?.take() ?? [] };
}

function stretch(bytes: Uint8Array, { offset, length }: ByteRange): Uint8Array {
  return bytes.subarray(offset, offset + length);
}
