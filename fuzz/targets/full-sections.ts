import assert from 'node:assert/strict';

import { type ErrorCode, MappedRamError } from '../../ts/errors.ts';
import { bytesReader } from '../../ts/stream/reader.ts';
import type { SectionRecord } from '../../ts/stream/records.ts';
import { splitFullSections } from '../../ts/stream/read/split-full-sections.ts';
import { INPUT_CODES, roughly, type FuzzTarget } from '../target.ts';

/** Bytes of an input that are looked at: all of several windows of the reader. */
const MAX_BYTES = 3 * 2 ** 18;
/** Bytes up to which the ways are counted once more, which takes time in proportion to the square. */
const MAX_COUNTED = 4096;
const FILE_HEADER_BYTES = 8;
const FOOTER_BYTES = 5;

/**
 * Device state alone: the sections that are found follow each other from the header to the last byte, and there is no
 * other way to divide it.
 */
export const target: FuzzTarget = {
  limits: { bytesAtOnce: MAX_BYTES, bytesOfMemory: 2 ** 27, milliseconds: 2000 },
  dictionary: [Uint8Array.of(0x7e, 0, 0, 0, 1, 4), Uint8Array.of(0x7e, 0, 0, 0, 1, 0)],
  run: async (reader) => {
    const bytes = await reader.read(0, Math.min(reader.size, MAX_BYTES));
    const [code, sections] = await divide(bytes);
    assertFollowing(bytes, sections);
    const isCounted = bytes.length <= MAX_COUNTED && (code === undefined || DIVIDED.has(code));
    const ways = isCounted ? waysThrough(bytes) : undefined;
    if (ways === 0) assert.equal(code, 'ERR_MAPPED_RAM_CORRUPT');
    if (ways === 2) assert.equal(code, 'ERR_MAPPED_RAM_UNSUPPORTED');
    // Of the only way, one name may be that of two sections.
    if (ways === 1) assert.notEqual(code, 'ERR_MAPPED_RAM_UNSUPPORTED');
    return [code, ways, roughly(sections.length), roughly(bytes.length)].join(' ');
  },
};

/** The codes that say something about the sections. */
const DIVIDED: ReadonlySet<ErrorCode> = new Set(['ERR_MAPPED_RAM_CORRUPT', 'ERR_MAPPED_RAM_UNSUPPORTED']);

async function divide(
  bytes: Uint8Array,
): Promise<readonly [code: ErrorCode | undefined, sections: readonly SectionRecord[]]> {
  try {
    return [undefined, await splitFullSections(bytesReader(bytes))];
  } catch (error) {
    if (!(error instanceof MappedRamError) || !INPUT_CODES.includes(error.code)) throw error;
    return [error.code, []];
  }
}

function assertFollowing(bytes: Uint8Array, sections: readonly SectionRecord[]): void {
  let offset = FILE_HEADER_BYTES;
  for (const section of sections) {
    assert.equal(section.offset, offset);
    assert.equal(section.bodyOffset + section.bodyLength, section.footerOffset);
    assert.equal(bytes[offset], 4);
    assert.equal(bytes[section.footerOffset], 0x7e);
    offset += section.length;
    assert.equal(offset, section.footerOffset + FOOTER_BYTES);
  }
  if (sections.length > 0) assert.equal(offset, bytes.length - 1);
}

/** Counts the ways from the first section to the last byte, from back to front. @returns 2 for any number above 1 */
function waysThrough(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ways = new Uint8Array(bytes.length);
  const last = bytes.length - 1;
  for (let at = last; at >= FILE_HEADER_BYTES; at -= 1) {
    if (at === last) ways[at] = bytes[at] === 0 ? 1 : 0;
    if (bytes[at] !== 4 || at + 6 > bytes.length) continue;
    const length = view.getUint8(at + 5);
    const name = bytes.subarray(at + 6, at + 6 + length);
    if (length === 0 || name.some((byte) => byte < 0x20 || byte === 0x7f)) continue;
    let sum = 0;
    for (let end = at + 6 + length + 8; end + FOOTER_BYTES <= last; end += 1) {
      if (bytes[end] === 0x7e && view.getUint32(end + 1) === view.getUint32(at + 1))
        sum += ways[end + FOOTER_BYTES] ?? 0;
    }
    ways[at] = Math.min(2, sum);
  }
  return ways[FILE_HEADER_BYTES] ?? 0;
}
