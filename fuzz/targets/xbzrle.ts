import assert from 'node:assert/strict';

import { applyXbzrle } from '../../ts/stream/xbzrle.ts';
import { roughly, type FuzzTarget } from '../target.ts';

const PAGE = 4096;
const UNTOUCHED = 0xee;
const AROUND = new Uint8Array(PAGE).fill(UNTOUCHED);

/** A delta against a page: it never goes beyond the page, and the bytes that it skips stay. */
export const target: FuzzTarget = {
  run: async (reader) => {
    const delta = await reader.read(0, Math.min(reader.size, PAGE));
    // The page is in the middle of something larger, as it is in a batch of pages.
    const memory = new Uint8Array(3 * PAGE).fill(UNTOUCHED);
    const page = memory.subarray(PAGE, 2 * PAGE);
    const applied = applyXbzrle(delta, page);
    assert.equal(Buffer.compare(memory.subarray(0, PAGE), AROUND), 0);
    assert.equal(Buffer.compare(memory.subarray(2 * PAGE), AROUND), 0);
    const expected = naive(delta);
    assert.equal(applied, expected !== undefined);
    if (expected === undefined) return 'malformed';
    assert.equal(Buffer.compare(page, expected.page), 0);
    return [roughly(expected.runs), roughly(page.findLastIndex((byte) => byte !== UNTOUCHED))].join(' ');
  },
};

/** Decodes the format of docs/format.md §3 once more, one byte after the other. */
function naive(delta: Uint8Array): { readonly page: Uint8Array; readonly runs: number } | undefined {
  const page = new Uint8Array(PAGE).fill(UNTOUCHED);
  let [from, to, runs] = [0, 0, 0];
  const length = (): number => {
    const low = delta[from] ?? NaN;
    from += 1;
    if (low < 0x80) return low;
    const high = delta[from] ?? NaN;
    from += 1;
    return high < 0x80 ? low - 0x80 + high * 0x80 : NaN;
  };
  while (from < delta.length) {
    const skipped = length();
    const changed = length();
    if (Number.isNaN(skipped + changed) || changed === 0 || (skipped === 0 && runs > 0)) return undefined;
    to += skipped;
    for (let count = 0; count < changed; count += 1) {
      const byte = delta[from];
      if (byte === undefined || to >= PAGE) return undefined;
      page[to] = byte;
      [from, to] = [from + 1, to + 1];
    }
    runs += 1;
  }
  return { page, runs };
}
