import { fileURLToPath } from 'node:url';

import { MappedRamError } from '../errors.ts';
import type { TransferMemory } from '../transfer/run-transfer.ts';

/**
 * Where a block's memory is while the guest does not run: a file by its path (plain, /dev/shm, hugetlbfs), an open
 * descriptor (memfd too), or a buffer. `offset` is where the block starts in it, in bytes; 0 by default.
 */
export type RamLocation =
  | string
  | URL
  | { readonly path: string; readonly offset?: number | undefined }
  | { readonly fd: number; readonly offset?: number | undefined }
  | Uint8Array;

/** A location in the engine's terms. */
export function toMemory(location: RamLocation): TransferMemory {
  if (typeof location === 'string') return { path: location };
  if (location instanceof URL) return { path: fileURLToPath(location) };
  if (location instanceof Uint8Array) return { buffer: location };
  const { offset } = location;
  if (offset !== undefined && (!Number.isSafeInteger(offset) || offset < 0)) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'offset of a block in its memory', {
      expected: 'a whole number of bytes, 0 or more',
      found: offset,
    });
  }
  return 'path' in location ? { path: location.path, offset } : { fd: location.fd, offset };
}

/**
 * The locations by block.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that the stream does not have
 */
export function locationsFor(
  ram: Readonly<Record<string, RamLocation>>,
  blocks: readonly { readonly id: string }[],
  path: string,
): ReadonlyMap<string, RamLocation> {
  assertBlocksExist(Object.keys(ram), blocks, path);
  return new Map(Object.entries(ram));
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that the stream does not have */
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
