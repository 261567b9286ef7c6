import { MappedRamError } from '../errors.ts';
import type { TransferRegion } from '../engine/transfer.ts';
import { DEFAULT_TARGET_PAGE_SIZE } from '../stream/constants.ts';
import type { BlockArea, PageArea } from '../stream/page-area.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';

/** Makes a transfer's region of a block and of what the caller knows of its memory. */
export function regionOf(
  { id: name, area }: BlockArea,
  memory: Omit<TransferRegion, 'name' | 'area'> = {},
): TransferRegion {
  return { name, area, ...memory };
}

/**
 * The page size of areas, in bytes: one work has pages of one size, as one file has (docs/format.md §2.3).
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for areas whose page sizes differ
 */
export function pageSizeOf(areas: readonly PageArea[]): number {
  const [first] = areas;
  const pageSize = first?.pageSize ?? DEFAULT_TARGET_PAGE_SIZE;
  const other = areas.find((area) => area.pageSize !== pageSize);
  if (other === undefined) return pageSize;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'page size of a block', {
    expected: `${pageSize} bytes, as the other blocks have`,
    found: `${other.pageSize} bytes`,
  });
}

/**
 * Refuses names that no block has.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that the stream does not have
 */
export function assertBlocksExist(
  ids: readonly string[],
  blocks: readonly { readonly id: string }[],
  path: string,
): void {
  const known = blocks.map(({ id }) => id);
  const unknown = ids.find((id) => !known.includes(id));
  if (unknown === undefined) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'no such RAM block', {
    path,
    expected: known.length === 0 ? 'no blocks at all' : `one of ${known.join(', ')}`,
    found: unknown,
  });
}

/**
 * Refuses a block that is only listed (docs/format.md §2.4).
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED
 */
export function assertHasPages(block: MappedRamBlock, path: string): void {
  if (!block.skipped) return;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `block ${block.id} was saved without its pages`, {
    path,
    offset: block.headerOffset,
  });
}

/**
 * Finds the blocks with these names, in the order of the names. They must have pages.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that the stream does not have,
 *   ERR_MAPPED_RAM_UNSUPPORTED for one without pages
 */
export function blocksWithPages(
  ids: readonly string[],
  blocks: readonly MappedRamBlock[],
  path: string,
): readonly MappedRamBlock[] {
  assertBlocksExist(ids, blocks, path);
  const found = ids.flatMap((id) => blocks.filter((block) => block.id === id));
  for (const block of found) assertHasPages(block, path);
  return found;
}
