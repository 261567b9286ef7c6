import { isInside } from '../stream/page-area.ts';
import { digestStretches } from '../pages/piece-digests.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import { compareBlock } from './compare-seal.ts';
import type { Finding } from './finding.ts';
import { metadataRanges } from '../seal/make-seal.ts';
import type { OpenedSource } from '../snapshot/snapshot-source.ts';
import { scanPages, unreadableFinding } from './scan-pages.ts';
import type { Seal } from '../seal/seal.ts';

/**
 * Compares a file with the seal of the snapshot at its offset. The seal says where blocks lie, so that the check can
 * tell intact pages even in a file with a damaged header.
 */
export async function checkSeal(
  seal: Seal,
  opened: OpenedSource,
  options: TransferOptions,
): Promise<{ readonly findings: readonly Finding[]; readonly report: TransferReport | undefined }> {
  const { reader } = opened;
  const findings: Finding[] = [];
  if (seal.size !== reader.size) {
    findings.push({
      severity: 'error',
      code: 'size-differs',
      message: `the file had ${seal.size} bytes when it was sealed, and has ${reader.size}`,
      offset: Math.min(seal.size, reader.size),
    });
  }
  findings.push(...(await checkMetadataDigest(seal, opened, options)));
  const blocks = seal.blocks.filter(({ area }) => isInside(area, reader.size));
  const { pieceSize } = seal;
  const scan = await scanPages(reader, { blocks, pieceSize }, options);
  findings.push(...scan.findings);
  for (const [index, pieces] of scan.pieces.entries()) {
    const block = blocks[index];
    if (block !== undefined) findings.push(...compareBlock(seal, block, pieces));
  }
  return { findings, report: scan.report };
}

async function checkMetadataDigest(
  seal: Seal,
  { reader, base }: OpenedSource,
  { signal }: TransferOptions,
): Promise<readonly Finding[]> {
  // A shorter file cannot be the same, and the finding about its size says so.
  if (reader.size < seal.size) return [];
  try {
    const digest = await digestStretches(reader, metadataRanges(base, seal.size, seal.blocks), signal);
    if (Buffer.compare(digest, seal.metadata) === 0) return [];
  } catch (error) {
    const finding = unreadableFinding(error);
    if (finding === undefined) throw error;
    return [finding];
  }
  return [
    {
      severity: 'error',
      code: 'metadata-differs',
      message: 'headers, bitmaps, device state or the vmdescription are not what was sealed',
      offset: base,
    },
  ];
}
