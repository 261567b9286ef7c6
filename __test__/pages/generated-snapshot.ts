import { bitmapBytes } from '../../ts/stream/page-area.ts';
import { open } from 'node:fs/promises';

import * as fc from 'fast-check';

import { encodeEof, encodeSectionContinuation } from '../../ts/stream/section.ts';
import { encodeMappedRamStart } from '../../ts/stream/write/encode-ram.ts';
import { RAM_SECTION_ID } from '../../ts/stream/constants.ts';
import { encodeRamEos } from '../../ts/stream/write/encode-ram.ts';
import { PAGE, testPage } from '../support/synthetic.ts';

export interface GeneratedBlock {
  readonly id: string;
  readonly pages: number;
  /** Pages whose bits are set, in any order. */
  readonly set: readonly number[];
  /** Clear pages that have bytes in the file, as QEMU leaves them there (docs/format.md §2.6). */
  readonly stale: readonly number[];
}

export interface GeneratedSnapshot {
  readonly base?: number;
  readonly machine?: string;
  readonly blocks: readonly GeneratedBlock[];
}

/** Writes a mapped-ram file without devices. It sets the bits beyond the last page: they must not count. */
export async function writeGenerated(path: string, snapshot: GeneratedSnapshot): Promise<void> {
  const { base = 0, machine = 'pc-q35-10.0', blocks } = snapshot;
  const { layout, segments, endOffset } = encodeMappedRamStart({
    base,
    configuration: { machine, capabilities: ['mapped-ram'] },
    blocks: blocks.map(({ id, pages }) => ({ id, length: pages * PAGE })),
    // Page areas need no larger alignment: a bitmap may end where its pages begin.
    alignment: PAGE,
  });
  await using handle = await open(path, 'w');
  for (const { offset, bytes } of segments) await handle.write(bytes, 0, bytes.length, offset);
  for (const [index, { id, pages, set, stale }] of blocks.entries()) {
    const place = layout.blocks[index];
    if (place === undefined) throw new Error(`no layout of ${id}`);
    const bitmap = Buffer.alloc(bitmapBytes(place.area));
    for (const page of set) bitmap[page >>> 3] = (bitmap[page >>> 3] ?? 0) | (1 << (page & 7));
    for (let bit = pages; bit < bitmap.length * 8; bit += 1) {
      bitmap[bit >>> 3] = (bitmap[bit >>> 3] ?? 0) | (1 << (bit & 7));
    }
    await handle.write(bitmap, 0, bitmap.length, place.area.bitmapOffset);
    for (const page of [...stale, ...set]) {
      await handle.write(contentOf(id, page), 0, PAGE, place.area.pagesOffset + page * PAGE);
    }
  }
  const end = Buffer.concat([encodeSectionContinuation('end', RAM_SECTION_ID), encodeRamEos(), encodeEof()]);
  await handle.write(end, 0, end.length, endOffset);
}

export function contentOf(id: string, page: number): Uint8Array {
  return testPage(page + 100_003 * (id.codePointAt(0) ?? 0));
}

/** The oracle of a block's memory: it sets a page at a time, and every byte of the page by itself. */
export function naiveMemory({ id, pages, set }: GeneratedBlock): Buffer {
  const memory = Buffer.alloc(pages * PAGE);
  for (let page = 0; page < pages; page += 1) {
    if (set.includes(page)) contentOf(id, page).forEach((byte, at) => (memory[page * PAGE + at] = byte));
  }
  return memory;
}

/** Blocks with runs of all lengths; some pages are stale. */
export function generatedBlock(id: string, maxPages: number): fc.Arbitrary<GeneratedBlock> {
  const runs = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.constantFrom('set', 'clear', 'stale')), {
    minLength: 1,
    maxLength: 12,
  });
  return fc.tuple(fc.integer({ min: 1, max: maxPages }), runs).map(([pages, lengths]) => {
    const kinds = lengths.flatMap(([length, kind]) => Array.from({ length }, () => kind)).slice(0, pages);
    const numbers = (kind: string): readonly number[] =>
      kinds.flatMap((found, page) => (found === kind ? [page] : []));
    return { id, pages, set: numbers('set'), stale: numbers('stale') };
  });
}
