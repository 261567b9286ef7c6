import type { TransferOptions, TransferReport } from '../../engine/transfer-options.ts';
import type { TransferRegion } from '../../engine/transfer.ts';
import { zeroRanges } from '../../engine/zero-ranges.ts';
import type { Output } from '../../io/output.ts';
import { localFile } from '../../io/open-source.ts';
import { addReports } from '../../pages/add-reports.ts';
import { BitmapCache } from '../../pages/bitmap-cache.ts';
import { type ByteRuns, complementOf, rangesOf, withoutRuns } from '../../pages/byte-runs.ts';
import { changeBits } from '../../pages/bitmap/change-bits.ts';
import { pageRuns } from '../../pages/page-runs.ts';
import { savePages } from '../../pages/save-pages.ts';
import { setAllPages } from '../../pages/bitmap/set-all-pages.ts';
import { storesZeroPages } from '../../pages/zero-pages.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { type CaptureKind, isFileAll, type PlacedBlock } from './captured-parts.ts';

/**
 * Moves pages, one pass after the other.
 * @returns the sum of their reports; undefined when there was nothing to move
 * @throws {MappedRamError} as `savePages`
 */
export async function writePasses(
  output: Output,
  passes: readonly (readonly TransferRegion[])[],
  options: TransferOptions,
): Promise<TransferReport | undefined> {
  let sum: TransferReport | undefined;
  for (const regions of passes) {
    const moving = regions.flatMap(({ memory, ...region }) =>
      memory === undefined ? [] : [{ ...region, memory }],
    );
    const { report } = await savePages(output, { regions: moving }, options);
    sum = sum === undefined ? report : addReports(sum, report);
  }
  return sum;
}

/**
 * Makes the output right where no page was moved: pages that the base has and the guest does not have any more are zero;
 * and those of firmware are stored, too.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; as `pageRuns`
 */
export async function settleZeroPages(
  output: Output,
  placed: readonly PlacedBlock[],
  kind: CaptureKind,
  base: Snapshot | undefined,
): Promise<void> {
  for (const { block, area, isOnBase } of placed) {
    const isOver = base !== undefined && !isOnBase;
    const isAll = isFileAll(block);
    if (isOver && !isAll) {
      const gone = withoutRuns(await pagesOfBase(base, block.id), block.runs);
      if (kind === 'clone') await punch(output, area.pagesOffset, gone);
      await changeBits(output, area, gone, kind === 'delta');
    }
    const hidesBase = isOver && kind === 'delta' && isAll;
    if (!hidesBase && (isOnBase || !storesZeroPages(block.id, 'firmware'))) continue;
    // A base may have other bytes than zeros under its clear bits (docs/format.md §2.6).
    if (kind === 'clone' && !isAll)
      await punch(output, area.pagesOffset, complementOf(block.runs, area.length));
    await setAllPages(output, area);
  }
}

/** The pages of a block that the base has. */
async function pagesOfBase(base: Snapshot, id: string): Promise<ByteRuns> {
  const found = base.completeRam().blocks.find((block) => block.id === id);
  const runs: number[] = [];
  if (found === undefined) return Float64Array.from(runs);
  for await (const { offset, length, fileOffset } of pageRuns(new BitmapCache(base.reader), found.area)) {
    if (fileOffset !== undefined) runs.push(offset, length);
  }
  return Float64Array.from(runs);
}

async function punch(output: Output, start: number, runs: ByteRuns): Promise<void> {
  const ranges = [...rangesOf(runs)].flatMap((run) => [start + run.start, run.end - run.start]);
  const { fd, name } = localFile(output, 'clearing pages');
  if (ranges.length > 0) await zeroRanges(fd, name, ranges);
}
