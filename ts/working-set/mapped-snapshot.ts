import { createHash } from 'node:crypto';

import { type LocalFile, localFile, type OpenSource } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { MappedRamBlock, StreamIndex } from '../stream/stream-index.ts';

/** Bytes of device state that tell two saves apart: clocks and registers of the processors come first in it. */
const TELLING = 64 * 2 ** 10;

/** The snapshot that QEMU maps: of a delta, its base. Working sets belong to it. */
export interface MappedSnapshot {
  readonly path: string;
  readonly reader: OpenSource;
  readonly file: LocalFile;
  /** The blocks that have pages in the file. */
  readonly blocks: readonly MappedRamBlock[];
  /** A digest of the beginning of the device state: no two saves have the same. */
  readonly identity: string;
}

/**
 * Finds the snapshot whose pages a restore maps.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when it is in no file of this host; as `Snapshot.completeRam`, and
 *   as reading the file
 */
export async function mappedSnapshot(snapshot: Snapshot): Promise<MappedSnapshot> {
  const { path, reader, blocks } = snapshot.mappable;
  const { index } = snapshot.base ?? snapshot;
  return {
    path,
    reader,
    file: localFile(reader, 'a working set'),
    blocks: blocks.filter(({ skipped }) => !skipped),
    identity: await identityIn(reader, index, blocks),
  };
}

async function identityIn(
  reader: OpenSource,
  { trailing, size }: StreamIndex,
  blocks: readonly MappedRamBlock[],
): Promise<string> {
  const start = blocks.reduce((end, { area }) => Math.max(end, area.pagesOffset + area.length), 0);
  const end = Math.min(trailing?.offset ?? size, start + TELLING);
  const bytes = await reader.read(start, Math.max(0, end - start));
  return createHash('sha256').update(bytes).digest('hex');
}
