import test from 'ava';

import { encodeSectionContinuation, encodeSectionHeader } from '../../../ts/stream/section.ts';
import { encodeZeroPage } from '../../../ts/stream/write/encode-pages.ts';
import {
  assertRefused,
  beginning,
  model,
  RAM,
  withLast,
  withPlainStart,
  word,
  type RefusedStream,
} from '../broken-streams.ts';
import { buildStream } from '../../support/stream-builder.ts';

function offsetOf(bytes: Uint8Array, type: string, nth = 0): number {
  const records = buildStream(model).records.filter((record) => record.type === type);
  return records[nth]?.offset ?? bytes.length;
}

/** A mapped-ram stream with one be64 (or be32) changed in the header of one block. */
function withHeader(nth: number, at: number, value: number, width: 4 | 8 = 8): Uint8Array {
  const { bytes } = buildStream(model);
  // The header follows one byte of id length, one of id, and eight of block length.
  const header = offsetOf(bytes, 'ram-block', nth) + 10;
  const view = new DataView(bytes.buffer);
  if (width === 4) view.setUint32(header + at, value);
  else view.setBigUint64(header + at, BigInt(value));
  return bytes;
}

const cases: readonly RefusedStream[] = [
  {
    what: 'a RAM header word without MEM_SIZE',
    bytes: () => beginning().raw(encodeSectionHeader('start', RAM)).raw(word(0x2000)).bytes,
    message: /flags of the RAM header word/,
    expected: '0x4',
    found: '0x0',
  },
  {
    what: 'a sum of block lengths beyond 2^53',
    bytes: () => beginning().raw(encodeSectionHeader('start', RAM)).raw(new Uint8Array(8).fill(0xff)).bytes,
    message: /RAM header word is too large/,
    found: '0xffffffffffffffff',
  },
  {
    what: 'blocks that are longer than their sum',
    bytes: () => {
      const { bytes } = buildStream(model);
      new DataView(bytes.buffer).setBigUint64(offsetOf(bytes, 'ram-list'), 0x1004n);
      return bytes;
    },
    message: /longer than their announced sum/,
    expected: 0x1000,
  },
  {
    what: 'blocks that are shorter than their sum',
    bytes: () => {
      const { bytes } = buildStream(model);
      new DataView(bytes.buffer).setBigUint64(offsetOf(bytes, 'ram-list'), 0x4004n);
      return bytes;
    },
    message: /id of a RAM block is empty/,
  },
  {
    what: 'two blocks of one id',
    bytes: () => {
      const { bytes } = buildStream(model);
      bytes[offsetOf(bytes, 'ram-block', 1) + 1] = 0x61;
      return bytes;
    },
    message: /RAM block a comes twice/,
  },
  {
    what: 'a block of part of a page',
    bytes: () => {
      const { bytes } = buildStream(model);
      bytes[offsetOf(bytes, 'ram-block', 0) + 9] = 1;
      return bytes;
    },
    message: /length of RAM block a/,
    expected: 'a multiple of 4096',
    found: 8193,
  },
  {
    what: 'a mapped-ram header of version 2',
    bytes: () => withHeader(0, 0, 2, 4),
    code: 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
    message: /mapped-ram header of block a/,
    found: 2,
  },
  ...[0, 2048, 8192].map((size) => ({
    what: `a mapped-ram page size of ${size}`,
    bytes: () => withHeader(0, 4, size),
    message: /page size of block a/,
    expected: 4096,
    found: size,
  })),
  {
    what: 'page areas that are not aligned to pages',
    bytes: () => withHeader(0, 20, 4097),
    message: /pages_offset of block a/,
    found: 4097,
  },
  {
    what: 'a page area in front of its header',
    bytes: () => withHeader(1, 20, 4096),
    message: /pages_offset of block b/,
    found: 4096,
  },
  {
    what: 'a page area beyond the end of the file',
    bytes: () => withHeader(1, 20, 2 ** 40),
    code: 'ERR_MAPPED_RAM_TRUNCATED',
    message: /ends too early/,
    offset: 2 ** 40,
  },
  {
    what: 'a bitmap beyond the end of the file',
    bytes: () => withHeader(0, 12, 2 ** 40),
    code: 'ERR_MAPPED_RAM_TRUNCATED',
    message: /ends too early/,
    offset: 2 ** 40,
  },
  {
    what: 'a bitmap inside the pages of its block',
    bytes: () => withHeader(0, 12, 4096 + 40),
    message: /the pages of block a overlaps/,
  },
  {
    what: 'a bitmap inside the pages of another block',
    bytes: () => withHeader(1, 12, 4096 + 40),
    message: /the bitmap of block b overlaps/,
    offset: 4096 + 40,
  },
  {
    what: 'a bitmap inside the list entry of its block',
    bytes: () => withHeader(0, 12, offsetOf(new Uint8Array(), 'ram-block') + 2),
    message: /the bitmap of block a overlaps/,
  },
  {
    what: 'offsets of 0 without x-ignore-shared',
    bytes: () => {
      const bytes = withHeader(0, 12, 0);
      new DataView(bytes.buffer).setBigUint64(offsetOf(bytes, 'ram-block') + 10 + 20, 0n);
      return bytes;
    },
    message: /pages_offset of block a/,
    found: 0,
  },
  {
    what: 'a page record in a mapped-ram stream',
    bytes: () => {
      const { bytes } = buildStream(model);
      const end = buildStream(model).records.find(
        (record) => record.type === 'section' && record.kind === 'end',
      );
      if (end?.type === 'section') bytes[end.bodyOffset + 7] = 0x08;
      return bytes;
    },
    message: /unexpected RAM record/,
    found: '0x8',
  },
  {
    what: 'a page of an unknown block',
    bytes: () => withPlainStart(encodeSectionContinuation('end', 1), encodeZeroPage('b', 0)),
    message: /unknown RAM block b/,
  },
  {
    what: 'a page behind the end of its block',
    bytes: () => withPlainStart(encodeSectionContinuation('end', 1), encodeZeroPage('a', 8192)),
    message: /page outside of block a/,
    found: 8192,
  },
  {
    what: 'a first page that names no block',
    bytes: () =>
      withPlainStart(encodeSectionContinuation('end', 1), encodeZeroPage('a', 0, { sameBlock: true })),
    message: /names no block/,
  },
  {
    what: 'a page filled with something else than zero',
    bytes: () => withPlainStart(encodeSectionContinuation('end', 1), withLast(encodeZeroPage('a', 0), 7)),
    message: /fill byte/,
    expected: 0,
    found: 7,
  },
  {
    what: 'an xbzrle record longer than a page',
    bytes: () =>
      withPlainStart(encodeSectionContinuation('end', 1), word(0x40), Uint8Array.of(1, 0x61, 1, 0x20, 0)),
    message: /xbzrle record/,
    found: 'encoding 1, 8192 bytes',
  },
  {
    what: 'a compressed page longer than zlib makes one',
    bytes: () =>
      withPlainStart(
        encodeSectionContinuation('end', 1),
        word(0x100),
        Uint8Array.of(1, 0x61, 0, 0, 0x10, 0x0f),
      ),
    message: /length of a compressed page/,
    found: 4111,
  },
  {
    what: 'the flush of a multifd migration, whose pages are elsewhere',
    bytes: () => {
      const bytes = withPlainStart();
      // The word takes the place of the EOS word that ends the block list.
      bytes.set(word(0x200), bytes.length - 13);
      return bytes;
    },
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /multifd flush/,
  },
  {
    what: 'an EOS word with an offset',
    bytes: () => withPlainStart(encodeSectionContinuation('end', 1), word(0x1010)),
    message: /unexpected RAM record/,
    found: '0x1010',
  },
  {
    what: 'a RAM record of no kind',
    bytes: () => withPlainStart(encodeSectionContinuation('end', 1), word(0)),
    message: /unexpected RAM record/,
  },
];

for (const refused of cases) {
  test(`a walk refuses ${refused.what}`, assertRefused, refused);
}
