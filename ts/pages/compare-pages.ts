import { runComparison, type ComparedBlock, type ComparisonOutcome } from '../engine/comparison.ts';
import { transferFile, type TransferMemory } from '../engine/transfer.ts';
import type { TransferOptions } from '../engine/transfer-options.ts';
import { type OpenSource, whyNoEngine } from '../io/open-source.ts';
import { pagesIn } from '../stream/page-area.ts';
import { pageSizeOf } from './blocks.ts';
import { BitmapCache } from './bitmap-cache.ts';
import { bytesIn, fillPages } from './fill-pages.ts';
import { openEach, openMemory, type SnapshotBlock } from './memory-access.ts';
import { zeroTest } from './page-bits.ts';
import { WindowRun } from './window-run.ts';

interface ComparePages {
  readonly left: OpenSource;
  /** The right snapshot; undefined when every block is compared with memory. */
  readonly right: OpenSource | undefined;
  readonly blocks: readonly ComparedBlock[];
}

/** The difference of two pages, in the engine's two bits. */
const DIFFERENCE = { changed: 1, becameZero: 2, becameData: 3 } as const;

/**
 * Compares the pages of blocks. The engine does so where it can open both sides.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} as `runComparison` and `WindowRun`; the sources' errors
 */
export async function comparePages(plan: ComparePages, options: TransferOptions): Promise<ComparisonOutcome> {
  const { left, right, blocks } = plan;
  if (left.file === undefined) return compareByWindows(plan, whyNoEngine(left), options);
  if (right !== undefined && right.file === undefined)
    return compareByWindows(plan, whyNoEngine(right), options);
  const files = { left: transferFile(left.file), right: right?.file && transferFile(right.file) };
  return runComparison({ ...files, blocks }, options);
}

async function compareByWindows(
  { left, right, blocks }: ComparePages,
  why: string,
  options: TransferOptions,
): Promise<ComparisonOutcome> {
  options.signal?.throwIfAborted();
  const lengths = blocks.map((block) => block.left.length);
  const pageSize = pageSizeOf(blocks.map((block) => block.left));
  const run = new WindowRun(lengths, pageSize, why, options);
  const leftCache = new BitmapCache(left);
  const differences = blocks.map((block) => new Uint8Array(Math.ceil(pagesIn(block.left) / 4)));
  await using others = await openEach(blocks, (block) =>
    openMemory(block.name, rightOf(block, right ?? left)),
  );
  const isZero = zeroTest(pageSize);
  await run.run(() => {
    const [leftBuffer, rightBuffer] = [
      Buffer.allocUnsafe(run.windowBytes),
      Buffer.allocUnsafe(run.windowBytes),
    ];
    return async ({ block, offset, length }) => {
      const [compared, other, found] = [blocks[block], others.list[block], differences[block]];
      if (compared === undefined || other === undefined || found === undefined) return;
      const [mine, yours] = [leftBuffer.subarray(0, length).fill(0), rightBuffer.subarray(0, length)];
      const runs = await fillPages(left, leftCache, compared.left, mine, offset);
      const read = await other.read(yours, offset);
      run.count(length, bytesIn(runs) + read);
      if (Buffer.compare(mine, yours) === 0) return;
      for (let at = 0; at < length; at += pageSize) {
        const [a, b] = [mine.subarray(at, at + pageSize), yours.subarray(at, at + pageSize)];
        if (Buffer.compare(a, b) === 0) continue;
        const kind = isZero(a)
          ? DIFFERENCE.becameData
          : isZero(b)
            ? DIFFERENCE.becameZero
            : DIFFERENCE.changed;
        const page = (offset + at) / pageSize;
        found[page >>> 2] = (found[page >>> 2] ?? 0) | (kind << (2 * (page & 3)));
      }
    };
  });
  return { report: run.report(), differences };
}

function rightOf({ right }: ComparedBlock, source: OpenSource): TransferMemory | SnapshotBlock {
  return 'memory' in right ? right.memory : { source, area: right };
}
