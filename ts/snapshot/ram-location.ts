import { stat } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import type { TransferMemory } from '../engine/transfer.ts';
import { fileTargetOf } from '../io/file-target.ts';
import { inWords } from '../io/in-words.ts';
import { byteCount } from '../io/byte-count.ts';
import { assertBlocksExist } from '../pages/blocks.ts';
import { assertPlace } from './assert-place.ts';
import type { NamedPlace } from './distinct-places.ts';
import { literalPath } from './snapshot-source.ts';

/**
 * The place of a block's memory while the guest does not run: a file by its path (plain, /dev/shm, hugetlbfs), an open
 * descriptor (memfd too), or a buffer. `offset` is the block's offset in it, in bytes; 0 by default.
 */
export type RamLocation =
  | string
  | URL
  | {
      readonly path: string;
      readonly offset?: number | bigint | undefined;
      /** An open `Snapshot` has a path too, and is no memory. */
      readonly close?: undefined;
    }
  | { readonly fd: number; readonly offset?: number | bigint | undefined }
  | Uint8Array;

/** Turns a location into the engine's terms. */
export function toMemory(location: RamLocation): TransferMemory {
  if (typeof location === 'string') return { path: location };
  if (location instanceof URL) return { path: fileTargetOf(location).filename };
  if (location instanceof Uint8Array) return { buffer: location };
  const offset =
    location.offset === undefined ? undefined : byteCount('offset of a block in its memory', location.offset);
  return 'path' in location ? { path: location.path, offset } : { fd: location.fd, offset };
}

/** The path of a location that names a whole file. */
export function wholeFile(location: RamLocation): string | undefined {
  if (typeof location === 'string') return location;
  return location instanceof URL ? fileTargetOf(location).filename : undefined;
}

/** The locations that name whole files, for `assertDistinct`. */
export function ramFiles(locations: ReadonlyMap<string, RamLocation>): readonly NamedPlace[] {
  return [...locations].flatMap(([id, location]) => {
    const path = wholeFile(location);
    return path === undefined ? [] : [{ role: `the RAM of block ${id}`, path }];
  });
}

/**
 * Refuses a RAM file that is not as long as its block: the likeliest mistake is a file of another guest. Huge pages
 * round sizes up.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_TRUNCATED
 */
export async function assertSize(
  location: RamLocation,
  block: { readonly id: string; readonly length: number },
): Promise<void> {
  const path = wholeFile(location);
  // The engine gives the reason when it cannot open the file either.
  const stats = path === undefined ? undefined : await stat(path).catch(() => undefined);
  if (path === undefined || stats === undefined || !stats.isFile()) return;
  const rounded = Math.ceil(block.length / stats.blksize) * stats.blksize;
  if (stats.size === block.length || stats.size === rounded) return;
  const code = stats.size < block.length ? 'ERR_MAPPED_RAM_TRUNCATED' : 'ERR_MAPPED_RAM_INVALID_ARGUMENT';
  throw new MappedRamError(code, `the RAM of block ${block.id} has another size than the block`, {
    path,
    expected: `${block.length} bytes`,
    found: `${stats.size} bytes`,
  });
}

/**
 * The locations by block.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that the stream does not have, and for what is no
 *   location; ERR_MAPPED_RAM_INVALID_URI, ERR_MAPPED_RAM_UNSUPPORTED for a URL that names no local file
 */
export function locationsFor(
  ram: Readonly<Record<string, RamLocation>>,
  blocks: readonly { readonly id: string }[],
  path: string,
): ReadonlyMap<string, RamLocation> {
  assertLocations(ram);
  assertBlocksExist(Object.keys(ram), blocks, path);
  return new Map(Object.entries(ram));
}

function assertLocations(ram: unknown): void {
  if (typeof ram !== 'object' || ram === null) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the RAM', {
      expected: 'an object with a location for each block',
      found: inWords(ram),
    });
  }
  for (const [id, location] of Object.entries(ram)) {
    if (typeof location === 'string') literalPath(location);
    else if (location instanceof URL) fileTargetOf(location);
    else if (!(location instanceof Uint8Array)) assertPlace(location, `the RAM of block ${id}`, undefined);
  }
}
