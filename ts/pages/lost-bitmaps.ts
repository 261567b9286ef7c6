import { findStalePages } from '../engine/stale-pages.ts';
import type { OpenSource } from '../io/open-source.ts';
import type { MappedRamBlock, MappedRamIndex } from '../stream/stream-index.ts';
import { countSetPages } from './bitmap-reader.ts';

const WINDOW = 1 << 20;

/**
 * Tells whether the bitmaps of a file were never written, so that a restore would bring nothing but zeros (docs/format.md
 * §2.5). QEMU writes them in RAM's END section: a file with END, and without a byte in its page areas, is of a guest
 * whose memory is all zeros.
 * @throws {MappedRamError} as reading the file
 */
export async function areBitmapsLost(
  reader: OpenSource,
  { blocks, ended }: Pick<MappedRamIndex, 'blocks' | 'ended'>,
): Promise<boolean> {
  const mapped = blocks.filter(({ skipped }) => !skipped);
  // The small blocks come last, and one of them is the firmware's. So the search rarely reads the bitmaps of a guest's
  // memory.
  for (const block of mapped.toReversed()) if ((await countSetPages(reader, block)) > 0) return false;
  if (!ended) return mapped.length > 0;
  for (const block of mapped) if (await hasBytes(reader, block)) return true;
  return false;
}

async function hasBytes(reader: OpenSource, block: MappedRamBlock): Promise<boolean> {
  const { file } = reader;
  if (file !== undefined) return (await findStalePages(file.fd, reader.name, block)).runs.length > 0;
  const { pagesOffset, length } = block.area;
  for (let from = 0; from < length; from += WINDOW) {
    const bytes = await reader.read(pagesOffset + from, Math.min(WINDOW, length - from));
    if (bytes.some((byte) => byte !== 0)) return true;
  }
  return false;
}
