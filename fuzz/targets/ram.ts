import assert from 'node:assert/strict';

import { newRamState } from '../../ts/stream/read/ram-state.ts';
import { StreamCursor } from '../../ts/stream/read/stream-cursor.ts';
import { readListWord, walkRamList } from '../../ts/stream/read/walk-ram-list.ts';
import { walkRamPages } from '../../ts/stream/read/walk-ram-pages.ts';
import { roughly, type FuzzTarget } from '../target.ts';

/**
 * RAM's block list and page records, one section after the other. The first byte stands for the settings in
 * CONFIGURATION (bit 0 mapped-ram, bit 1 x-ignore-shared, bits 2 and 3 the page size), the next two for the list's
 * offset.
 */
export const target: FuzzTarget = {
  run: async (reader) => {
    const [options = 0, high = 0, low = 0] = await reader.read(0, 3);
    const capabilities = [
      ...((options & 1) === 0 ? [] : ['mapped-ram']),
      ...((options & 2) === 0 ? [] : ['x-ignore-shared']),
    ];
    const pageSize = [4096, 1024, 8192, 65_536][(options >> 2) & 3] ?? 4096;
    const ram = newRamState({ machine: '', capabilities }, 1, pageSize);
    const cursor = new StreamCursor(reader, high * 256 + low);
    const total = await readListWord(cursor, ram);
    let listed = 0;
    for await (const { offset, length, blockLength } of walkRamList(cursor, ram, total)) {
      assert.ok(offset + length <= reader.size);
      listed += blockLength;
    }
    assert.equal(listed, total);
    const kinds = new Map<string, number>();
    let sections = 0;
    while (cursor.remaining > 0) {
      let position = cursor.position;
      for await (const batch of walkRamPages(cursor, ram)) {
        for (const record of batch) {
          assert.equal(record.offset, position);
          position += record.length;
          const { kind, block, blockOffset, dataOffset, dataLength } = record;
          assert.equal(dataOffset + dataLength, position);
          assert.equal(blockOffset % pageSize, 0);
          assert.ok(blockOffset + pageSize <= (ram.lengths.get(block) ?? 0));
          assert.ok(dataLength <= pageSize);
          kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        }
      }
      assert.equal(cursor.position, position + 8);
      sections += 1;
    }
    const counts = ['zero', 'page', 'xbzrle'].map((kind) => roughly(kinds.get(kind) ?? 0));
    return [options & 15, roughly(ram.lengths.size), roughly(sections), ...counts].join(' ');
  },
};
