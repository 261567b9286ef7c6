import { open, stat } from 'node:fs/promises';

import { DIGEST_BYTES } from '../engine/digest.ts';
import type { OpenSource } from '../io/open-source.ts';
import { digestStretches } from '../pages/piece-digests.ts';
import { MAPPED_RAM_HEADER_BYTES } from '../stream/constants.ts';
import { bitmapBytes } from '../stream/page-area.ts';
import type { ByteRange } from '../stream/reader.ts';
import type { MappedRamBlock, StreamIndex } from '../stream/stream-index.ts';
import type { BaseRecord } from '../stream/vmdescription/base-record.ts';

/** The facts by which a base is known again, whatever its name is meanwhile. */
export type BaseIdentity = Omit<BaseRecord, 'name' | 'path'>;

/** Letters at the beginning of a seal (docs/verify.md). */
const SEAL_MAGIC = 'MRAMSEAL';

/**
 * Identifies a snapshot by everything but its pages: its head, block list, bitmaps and tail, which are read; and by its
 * seal, if there is one beside it, which stands for the pages.
 * @param index of the snapshot, which must be a complete mapped-ram file
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} the reader's errors
 */
export async function identifyBase(
  reader: OpenSource,
  index: StreamIndex,
  signal: AbortSignal | undefined,
): Promise<BaseIdentity> {
  const digest = await digestStretches(reader, rangesOf(index), signal);
  const { uuid } = index.configuration;
  return {
    offset: index.base,
    end: endOf(index),
    metadata: hex(digest),
    seal: await sealDigest(reader.file?.path),
    uuid: uuid === undefined ? undefined : hex(uuid),
  };
}

/** Offset of the end of a stream: a volume goes on behind it. */
export function endOf({ trailing, size }: StreamIndex): number {
  return trailing?.offset ?? size;
}

/** The stretches of a snapshot that say what is where, in order, without padding: it has no meaning. */
function rangesOf(index: StreamIndex): readonly ByteRange[] {
  const blocks: readonly MappedRamBlock[] = index.ram?.form === 'mapped-ram' ? index.ram.blocks : [];
  const [first] = blocks;
  const last = blocks.at(-1);
  const tail = last === undefined ? index.base : last.area.pagesOffset + last.length;
  return [
    { offset: index.base, length: (first?.entryOffset ?? index.base) - index.base },
    ...blocks.flatMap(({ entryOffset, headerOffset, area }) => [
      { offset: entryOffset, length: headerOffset + MAPPED_RAM_HEADER_BYTES - entryOffset },
      { offset: area.bitmapOffset, length: bitmapBytes(area) },
    ]),
    { offset: tail, length: endOf(index) - tail },
  ].filter(({ length }) => length > 0);
}

/** The digest that ends a snapshot's seal. Undefined when there is no seal under its usual name. */
async function sealDigest(snapshot: string | undefined): Promise<string | undefined> {
  if (snapshot === undefined) return undefined;
  const path = `${snapshot}.seal`;
  // Opening a fifo would wait for a writer.
  const stats = await stat(path).catch(() => undefined);
  // A seal that may not be read identifies nothing here.
  const handle = stats?.isFile() === true ? await open(path, 'r').catch(() => undefined) : undefined;
  if (stats === undefined || handle === undefined) return undefined;
  try {
    const start = Buffer.alloc(SEAL_MAGIC.length);
    const digest = Buffer.alloc(DIGEST_BYTES);
    if (stats.size < start.length + digest.length) return undefined;
    await handle.read(start, 0, start.length, 0);
    if (start.toString('latin1') !== SEAL_MAGIC) return undefined;
    await handle.read(digest, 0, digest.length, stats.size - digest.length);
    return hex(digest);
  } finally {
    await handle.close();
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
