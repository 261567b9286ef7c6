import { composeMessage, MappedRamError } from '../errors.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { BlockPieces } from '../engine/transfer.ts';
import type { OpenSource } from '../io/open-source.ts';
import { loadPages } from '../pages/load-pages.ts';
import type { Finding } from './finding.ts';
import { regionOf } from '../pages/blocks.ts';
import type { BlockArea } from '../stream/page-area.ts';

/** The pages to read. */
interface ScanPlan {
  readonly blocks: readonly BlockArea[];
  /** Length in bytes of the pieces to digest; undefined for no digests. */
  readonly pieceSize: number | undefined;
}

interface Scan {
  readonly findings: readonly Finding[];
  /** Digests by block; empty when a page could not be read, or no digests were asked for. */
  readonly pieces: readonly BlockPieces[];
  readonly report: TransferReport | undefined;
}

/**
 * Reads every set page of blocks. The first page that cannot be read becomes a finding, and ends the scan.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE, ERR_MAPPED_RAM_ENGINE_UNAVAILABLE,
 * ERR_MAPPED_RAM_OUT_OF_RANGE, ERR_MAPPED_RAM_IO when the file cannot be opened
 */
export async function scanPages(source: OpenSource, plan: ScanPlan, options: TransferOptions): Promise<Scan> {
  const { blocks, pieceSize } = plan;
  if (blocks.length === 0) return { findings: [], pieces: [], report: undefined };
  const regions = blocks.map((block) => regionOf(block));
  try {
    const scan = { direction: 'scan', regions, pieceSize } as const;
    const { report, pieces } = await loadPages(source, scan, options);
    return { findings: [], pieces, report };
  } catch (error) {
    const finding = unreadableFinding(error);
    if (finding === undefined) throw error;
    return { findings: [finding], pieces: [], report: undefined };
  }
}

/**
 * Turns an error at a place in the snapshot into a finding. Returns undefined for errors that say nothing about the
 * file, such as one from opening it.
 */
export function unreadableFinding(error: unknown): Finding | undefined {
  if (!(error instanceof MappedRamError) || error.offset === undefined) return undefined;
  if (error.code !== 'ERR_MAPPED_RAM_IO' && error.code !== 'ERR_MAPPED_RAM_TRUNCATED') return undefined;
  const { shortMessage, offset, sectionOffset, expected, found, cause } = error;
  const message = composeMessage(shortMessage, { sectionOffset, expected, found, cause });
  return { severity: 'error', code: 'unreadable', message, offset };
}
