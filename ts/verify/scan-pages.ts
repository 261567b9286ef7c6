import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import { runTransfer, type BlockPieces, type TransferFile } from '../engine/transfer.ts';
import type { Finding } from './finding.ts';
import type { BlockPlace } from '../seal/seal.ts';
import { unreadableFinding } from './finding.ts';

/** What to read. */
export interface ScanPlan {
  readonly blocks: readonly BlockPlace[];
  readonly pageSize: number;
  /** Makes digests of pieces of this many bytes. */
  readonly pieceSize: number | undefined;
}

export interface Scan {
  readonly findings: readonly Finding[];
  /** By block; empty when something could not be read, or no digests were asked for. */
  readonly pieces: readonly BlockPieces[];
  readonly report: TransferReport | undefined;
}

/**
 * Reads every set page of blocks. What cannot be read first is a finding, and ends it.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE, ERR_MAPPED_RAM_ENGINE_UNAVAILABLE,
 * ERR_MAPPED_RAM_OUT_OF_RANGE, ERR_MAPPED_RAM_IO when the file cannot be opened
 */
export async function scanPages(file: TransferFile, plan: ScanPlan, options: TransferOptions): Promise<Scan> {
  const { blocks, pageSize, pieceSize } = plan;
  if (blocks.length === 0) return { findings: [], pieces: [], report: undefined };
  const regions = blocks.map(({ id: name, length, bitmapOffset, pagesOffset }) => ({
    name,
    length,
    bitmapOffset,
    pagesOffset,
  }));
  try {
    const { report, pieces } = await runTransfer(
      { direction: 'scan', file, regions, pageSize, pieceSize },
      options,
    );
    return { findings: [], pieces, report };
  } catch (error) {
    const finding = unreadableFinding(error);
    if (finding === undefined) throw error;
    return { findings: [finding], pieces: [], report: undefined };
  }
}
