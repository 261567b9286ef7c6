import type { ByteRange } from '../stream/reader.ts';
import type { BlockPlace } from './seal.ts';

/** What of a snapshot is not in a page area: headers, bitmaps, padding, device state, vmdescription, and what follows. */
export function metadataRanges(
  base: number,
  size: number,
  blocks: readonly BlockPlace[],
): readonly ByteRange[] {
  const ranges: ByteRange[] = [];
  let position = base;
  for (const { pagesOffset, length } of blocks.toSorted(
    (left, right) => left.pagesOffset - right.pagesOffset,
  )) {
    if (pagesOffset > position) ranges.push({ offset: position, length: pagesOffset - position });
    position = pagesOffset + length;
  }
  if (size > position) ranges.push({ offset: position, length: size - position });
  return ranges;
}
