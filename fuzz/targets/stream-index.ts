import { bitmapBytes } from '../../ts/stream/page-area.ts';
import assert from 'node:assert/strict';

import { MappedRamError } from '../../ts/errors.ts';
import { readStreamIndex, walkStream, type StreamIndex } from '../../ts/stream/index.ts';
import { roughly, type FuzzTarget } from '../target.ts';
import type { WatchedReader } from '../watched-reader.ts';

/** Both forms of whole files, from their first byte to their last. */
export const target: FuzzTarget = {
  limits: { bytesAtOnce: 16 * 2 ** 20 },
  run: async (reader) => {
    const walk = await walkThrough(reader);
    const index = await readStreamIndex(reader);
    assert.equal(index.complete, index.problem === undefined);
    if (index.complete) assert.equal(walk.error, undefined);
    if (walk.error === undefined && index.opaque === undefined) assert.ok(index.complete);
    if (walk.error === undefined) assert.equal(walk.end, reader.size);
    assertRam(index);
    const { sections, commands, ram, vmdescription, trailing, opaque, problem } = index;
    return [
      ram?.form,
      roughly(ram?.blocks.length ?? 0),
      roughly(walk.pages),
      roughly(ram?.sections.length ?? 0),
      roughly(sections.length),
      roughly(commands.length),
      vmdescription?.json !== undefined,
      trailing !== undefined,
      opaque !== undefined,
      problem?.code,
    ].join(' ');
  },
};

interface Walk {
  /** End of the last record that is not part of a section. */
  readonly end: number;
  readonly pages: number;
  readonly error: unknown;
}

/** Asserts that records follow each other without gaps, and that the records inside a section come before it. */
async function walkThrough(reader: WatchedReader): Promise<Walk> {
  let end = 0;
  let inner = 0;
  let pages = 0;
  try {
    for await (const { type, offset, length } of walkStream(reader)) {
      assert.ok(length > 0 && offset + length <= reader.size, type);
      if (type === 'ram-list' || type === 'ram-block' || type === 'ram-page') {
        assert.ok(offset >= inner && offset > end, type);
        inner = offset + length;
        if (type === 'ram-page') pages += 1;
      } else {
        assert.equal(offset, end, type);
        end = offset + length;
        assert.ok(inner <= end, type);
      }
    }
    return { end, pages, error: undefined };
  } catch (error) {
    if (!(error instanceof MappedRamError)) throw error;
    return { end, pages, error };
  }
}

/** Asserts that areas of blocks lie in the file, page areas one after the other inside RAM's first section. */
function assertRam({ ram, size }: StreamIndex): void {
  if (ram === undefined) return;
  const { startEnd = size } = ram;
  let listed = 0;
  let end = ram.offset;
  for (const block of ram.blocks) {
    assert.ok(block.length > 0 && block.length % ram.targetPageSize === 0);
    listed += block.length;
    if (!('area' in block) || block.skipped) continue;
    const { entryOffset, area } = block;
    const { bitmapOffset, pagesOffset, pageSize } = area;
    const bitmapSize = bitmapBytes(area);
    assert.deepEqual([area.length, pageSize], [block.length, ram.targetPageSize]);
    assert.ok(entryOffset >= end && pagesOffset > entryOffset);
    assert.equal(pagesOffset % pageSize, 0);
    end = pagesOffset + block.length;
    assert.ok(end <= startEnd);
    assert.ok(bitmapOffset + bitmapSize <= size && bitmapSize * 8 >= block.length / pageSize);
  }
  if (ram.startEnd === undefined) assert.ok(listed <= ram.total);
  else assert.equal(listed, ram.total);
}
