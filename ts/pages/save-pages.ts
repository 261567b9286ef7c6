import {
  runTransfer,
  transferFile,
  type TransferMemory,
  type TransferOutcome,
  type TransferRegion,
} from '../engine/transfer.ts';
import type { TransferOptions } from '../engine/transfer-options.ts';
import { MappedRamError } from '../errors.ts';
import { whyNoEngine } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import { pageSizeOf } from './blocks.ts';
import { openEach, openMemory, type SnapshotBlock } from './memory-access.ts';
import { PageBits, zeroTest } from './page-bits.ts';
import { PieceDigests } from './piece-digests.ts';
import { setAllPages } from './bitmap/set-all-pages.ts';
import { WindowRun } from './window-run.ts';
import { bitmapBytes } from '../stream/page-area.ts';

/** A block to be written, and the place of its memory. */
interface SavedRegion extends Omit<TransferRegion, 'memory'> {
  readonly memory: TransferMemory | SnapshotBlock;
  /** The pages to store, whatever they hold. Only for outputs that are no files. @default those that are not zero */
  readonly pages?: PageBits | undefined;
}

interface SavePages {
  readonly regions: readonly SavedRegion[];
  /** Size of a piece in bytes, as in a `TransferPlan`. */
  readonly pieceSize?: number | undefined;
}

/**
 * Writes the pages and bitmaps of blocks into an output that has its size. The engine does so where it can open both
 * sides.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} as `runTransfer` and `WindowRun`; the output's errors
 */
export async function savePages(
  output: Output,
  plan: SavePages,
  options: TransferOptions,
): Promise<TransferOutcome> {
  const { regions, pieceSize } = plan;
  assertLimitedLocally(output, regions);
  const local = regions.flatMap((region) => localRegion(region) ?? []);
  if (output.file === undefined || local.length < regions.length) {
    const remote = regions.find((region) => localRegion(region) === undefined)?.memory;
    const place = remote !== undefined && 'source' in remote ? remote.source : { name: output.name };
    return saveByWindows(output, plan, whyNoEngine(place), options);
  }
  const file = transferFile(output.file);
  const saved = await runTransfer({ direction: 'save', file, regions: local, pieceSize }, options);
  let { dataBytes } = saved.report;
  for (const { area, storeZeroPages } of regions) {
    options.signal?.throwIfAborted();
    if (storeZeroPages === true) dataBytes += await setAllPages(output, area);
  }
  return { ...saved, report: { ...saved.report, dataBytes } };
}

/**
 * The region in the engine's terms; undefined when the engine cannot open the memory. The engine stores no zero pages:
 * it would write them as bytes, while a guest stands still, and their bits are enough.
 */
function localRegion({ name, area, memory, only }: SavedRegion): TransferRegion | undefined {
  if (!('source' in memory)) return { name, area, memory, only };
  const { file } = memory.source;
  if (file === undefined) return undefined;
  const { path, fd } = transferFile(file);
  return { name, area, memory: { path, fd, area: memory.area }, only };
}

/** JavaScript writes whole blocks only. */
function assertLimitedLocally(output: Output, regions: readonly SavedRegion[]): void {
  const limited = regions.find(({ only }) => only !== undefined);
  if (limited === undefined || (output.file !== undefined && localRegion(limited) !== undefined)) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `some pages of block ${limited.name} are saved where both sides are local`,
    { path: output.name },
  );
}

async function saveByWindows(
  output: Output,
  { regions, pieceSize }: SavePages,
  why: string,
  options: TransferOptions,
): Promise<TransferOutcome> {
  options.signal?.throwIfAborted();
  const lengths = regions.map(({ area }) => area.length);
  const pageSize = pageSizeOf(regions.map(({ area }) => area));
  const run = new WindowRun(lengths, pieceSize ?? pageSize, why, options);
  const digests = pieceSize === undefined ? undefined : new PieceDigests(regions.length, pieceSize, pageSize);
  const bits = regions.map(() => new PageBits());
  const isZero = zeroTest(pageSize);
  await using memories = await openEach(regions, ({ name: id, memory }) => openMemory(id, memory));
  await run.run(() => {
    const buffer = Buffer.allocUnsafe(run.windowBytes);
    return async ({ block, offset, length }) => {
      const [region, memory, set] = [regions[block], memories.list[block], bits[block]];
      if (region === undefined || memory === undefined || set === undefined) return;
      const bytes = buffer.subarray(0, length);
      await memory.read(bytes, offset);
      digests?.add(block, offset, bytes);
      let data = 0;
      for (const { start, end } of dataRuns(bytes, pageSize, (at) => {
        if (region.storeZeroPages === true) return false;
        if (region.pages !== undefined) return !region.pages.has((offset + at) / pageSize);
        return isZero(bytes.subarray(at, at + pageSize));
      })) {
        await output.writeAt(bytes.subarray(start, end), region.area.pagesOffset + offset + start);
        for (let at = start; at < end; at += pageSize) set.set((offset + at) / pageSize);
        data += end - start;
      }
      run.count(length, data);
    };
  });
  // A page's bit comes after the page.
  for (const [index, { area }] of regions.entries()) {
    const size = bitmapBytes(area);
    for (const { offset, bytes } of bits[index]?.pieces() ?? []) {
      options.signal?.throwIfAborted();
      await output.writeAt(bytes.subarray(0, size - offset), area.bitmapOffset + offset);
    }
  }
  return { report: run.report(), buffers: regions.map(() => null), pieces: digests?.take() ?? [] };
}

/** The stretches of adjacent pages to write. @param isLeftOut tells whether the page at an offset is none of them */
function* dataRuns(
  bytes: Uint8Array,
  pageSize: number,
  isLeftOut: (at: number) => boolean,
): Generator<{ readonly start: number; readonly end: number }, void, void> {
  let start: number | undefined;
  for (let at = 0; at < bytes.length; at += pageSize) {
    if (!isLeftOut(at)) start ??= at;
    else if (start !== undefined) {
      yield { start, end: at };
      start = undefined;
    }
  }
  if (start !== undefined) yield { start, end: bytes.length };
}
