import assert from 'node:assert/strict';

import type { MappedRamBlock } from '../../ts/stream/stream-index.ts';
import { decodeWorkingSet } from '../../ts/working-set/working-set-file.ts';
import { INPUT_CODES, roughly, type FuzzTarget } from '../target.ts';

/** Limit in bytes: a working set is in memory before it is decoded. */
const MAX_BYTES = 2 ** 16;
const MIB = 2 ** 20;
const BLOCKS = ['pc.ram', 'm1'].map((id, index): MappedRamBlock => {
  const [length, pageSize, pagesOffset] = [4 * MIB, 4096, (1 + 8 * index) * MIB];
  const area = { pagesOffset, bitmapOffset: pagesOffset - 4096, length, pageSize };
  return { id, length, area, headerOffset: 0, headerVersion: 1, entryOffset: 0, skipped: false };
});

/** The sidecar with the pages that guests touch: its pages are pages of the snapshot's blocks. */
export const target: FuzzTarget = {
  // That of another snapshot is an input like any other.
  codes: [...INPUT_CODES, 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
  dictionary: [
    'mappedRamWorkingSet',
    '"snapshot":"save"',
    '"blocks":[',
    '"pages":"',
    '"pagesOffset":',
    'pc.ram',
    'm1',
  ],
  run: async (reader) => {
    const text = Buffer.from(await reader.read(0, Math.min(reader.size, MAX_BYTES))).toString('utf8');
    const set = decodeWorkingSet(text, reader.name, { path: 'guest.mr', identity: 'save', blocks: BLOCKS });
    let pages = 0;
    for (const [id, block] of set) {
      assert(BLOCKS.some((known) => known.id === id));
      for (const { offset, length } of block.stretches()) {
        assert(offset >= 0 && offset + length <= 4 * MIB);
        pages += length / 4096;
      }
    }
    return [roughly(set.size), roughly(pages)].join(' ');
  },
};
