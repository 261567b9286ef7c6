import { MappedRamError } from '../../errors.ts';
import {
  runTransfer,
  transferFile,
  type TransferOutcome,
  type TransferRegion,
} from '../../engine/transfer.ts';
import type { TransferOptions, TransferProgress } from '../../engine/transfer-options.ts';
import type { OpenSource, Overlay } from '../../io/open-source.ts';
import { type PageArea, partOf } from '../../stream/page-area.ts';
import { addReports } from '../add-reports.ts';

/** The pages to read out of a snapshot. */
export interface LoadPages {
  /** `scan` reads the pages and writes nothing. */
  readonly direction: 'load' | 'scan';
  readonly regions: readonly TransferRegion[];
  /** Size of a piece in bytes, as in a `TransferPlan`. */
  readonly pieceSize?: number | undefined;
}

/**
 * Reads the pages of a delta and of its base by the engine, in two transfers: the base's, then the delta's over them.
 * @returns undefined when that is not possible: for a source that is no delta or in no files, for digests, which are of
 *   pages as they are in the end, and for buffers, which come anew from each transfer
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} as `runTransfer`
 */
export async function loadOverlay(
  { overlay }: OpenSource,
  { direction, regions, pieceSize }: LoadPages,
  options: TransferOptions,
): Promise<TransferOutcome | undefined> {
  if (overlay === undefined || pieceSize !== undefined) return undefined;
  const [base, delta] = [overlay.base.file, overlay.delta.file];
  if (base === undefined || delta === undefined) return undefined;
  if (regions.some(({ memory }) => memory?.bufferLength !== undefined)) return undefined;
  const below = regions.map((region) => ({ ...region, area: areaInBase(overlay, region.area) }));
  // A clear bit of the delta leaves the base's page alone.
  const above = regions.map((region): TransferRegion => ({ ...region, memoryIsZero: true }));
  const shares = halves(options);
  const first = await runTransfer(
    { direction, regions: below, file: transferFile(base) },
    { ...options, ...shares.first },
  );
  const second = await runTransfer(
    { direction, regions: above, file: transferFile(delta) },
    { ...options, ...shares.second },
  );
  // Both went over the same memory.
  return { ...first, report: { ...addReports(first.report, second.report), bytes: first.report.bytes } };
}

/** Finds the place in the base of a block, or of a part of one, whose place in the delta is given. */
export function areaInBase({ blocks }: Pick<Overlay, 'blocks'>, area: PageArea): PageArea {
  for (const { base, delta } of blocks) {
    const offset = area.pagesOffset - delta.pagesOffset;
    if (offset >= 0 && offset + area.length <= delta.length) return partOf(base, offset, area.length);
  }
  throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'an area that is in no block of the delta', {
    offset: area.pagesOffset,
  });
}

/** Makes the progress of two transfers over the same memory that of one. */
function halves({ onProgress }: TransferOptions): {
  readonly first: Pick<TransferOptions, 'onProgress'>;
  readonly second: Pick<TransferOptions, 'onProgress'>;
} {
  if (onProgress === undefined) return { first: {}, second: {} };
  let last: Pick<TransferProgress, 'dataBytes' | 'elapsedMs'> = { dataBytes: 0, elapsedMs: 0 };
  return {
    first: {
      onProgress: (progress) => {
        last = progress;
        const { bytesTotal, bytesDone, dataBytes, elapsedMs } = progress;
        onProgress({ bytesTotal, bytesDone: Math.floor(bytesDone / 2), dataBytes, elapsedMs });
      },
    },
    second: {
      onProgress: ({ bytesTotal, bytesDone, dataBytes, elapsedMs }) =>
        onProgress({
          bytesTotal,
          bytesDone: bytesTotal - Math.floor((bytesTotal - bytesDone) / 2),
          dataBytes: last.dataBytes + dataBytes,
          elapsedMs: last.elapsedMs + elapsedMs,
        }),
    },
  };
}
