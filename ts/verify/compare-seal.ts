import { DIGEST_BYTES } from '../engine/digest.ts';
import type { BlockPieces } from '../engine/transfer.ts';
import type { Finding, PageRange } from './finding.ts';
import type { Seal, SealedBlock } from '../seal/seal.ts';

/** Finds the pages of a block that differ from the sealed ones: one finding for each stretch of pieces. */
export function compareBlock(seal: Seal, block: SealedBlock, found: BlockPieces): readonly Finding[] {
  const { pageSize, pieceSize } = seal;
  const { id } = block;
  const { length, pagesOffset } = block.area;
  return stretches(differingPieces(block, found), pieceSize).map(({ start, end }): Finding => {
    const pages: PageRange = {
      first: start / pageSize,
      count: (Math.min(end, length) - start) / pageSize,
    };
    return {
      severity: 'error',
      code: 'pages-differ',
      message: `block ${id} is not what was sealed somewhere in its pages ${pages.first} to ${pages.first + pages.count - 1}`,
      offset: pagesOffset + start,
      block: id,
      pages,
    };
  });
}

/** Yields the offsets of pieces whose digests differ, or that only one side has. Both sides are ascending. */
function* differingPieces(left: BlockPieces, right: BlockPieces): Generator<number, void, void> {
  let [l, r] = [0, 0];
  while (l < left.offsets.length || r < right.offsets.length) {
    const leftOffset = left.offsets[l] ?? Infinity;
    const rightOffset = right.offsets[r] ?? Infinity;
    if (leftOffset !== rightOffset || !isSame(left, l, right, r)) yield Math.min(leftOffset, rightOffset);
    if (leftOffset <= rightOffset) l += 1;
    if (rightOffset <= leftOffset) r += 1;
  }
}

function isSame(left: BlockPieces, l: number, right: BlockPieces, r: number): boolean {
  const [mine, yours] = [l, r].map((index) => index * DIGEST_BYTES);
  return (
    Buffer.compare(
      left.digests.subarray(mine, (mine ?? 0) + DIGEST_BYTES),
      right.digests.subarray(yours, (yours ?? 0) + DIGEST_BYTES),
    ) === 0
  );
}

interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** Joins pieces that touch. */
function stretches(offsets: Iterable<number>, pieceSize: number): readonly Stretch[] {
  const found: Stretch[] = [];
  for (const start of offsets) {
    const last = found.at(-1);
    if (last?.end === start) found[found.length - 1] = { start: last.start, end: start + pieceSize };
    else found.push({ start, end: start + pieceSize });
  }
  return found;
}
