import { MappedRamError } from '../../errors.ts';
import { RAM_FLAG } from '../constants.ts';
import type { RamState } from './ram-state.ts';
import type { RamPageRecord } from '../records.ts';
import type { StreamCursor } from './stream-cursor.ts';

/** Records handed out at once: a batch spares the consumer an await for each page. */
const BATCH = 256;

/** Flags whose records no `file:` migration of a supported QEMU holds (docs/format.md §3). */
const UNSUPPORTED = new Map<number, string>([
  [RAM_FLAG.hook, 'RDMA hook'],
  [RAM_FLAG.multifdFlush, 'multifd flush'],
]);

/**
 * Yields the page records of a RAM section up to its EOS word, which it consumes (docs/format.md §3). The mapped-ram
 * form allows only EOS (§2.6).
 */
export async function* walkRamPages(
  cursor: StreamCursor,
  ram: RamState,
): AsyncGenerator<readonly RamPageRecord[], void, void> {
  let batch: RamPageRecord[] = [];
  for (;;) {
    const offset = cursor.position;
    if (!cursor.has(8)) await cursor.need(8);
    const word = cursor.u64('a RAM record');
    const flags = word % ram.targetPageSize;
    if (flags === RAM_FLAG.eos && word === flags) break;
    if (ram.form === 'mapped-ram') throw unexpected(cursor, offset, word, 'end of section (0x10)');
    const kind = pageKind(cursor, offset, word, flags);
    const block = await blockOf(cursor, ram, flags, offset);
    const blockOffset = word - flags;
    const blockLength = ram.lengths.get(block) ?? 0;
    if (blockOffset + ram.targetPageSize > blockLength) {
      throw cursor.corrupt(`page outside of block ${block}`, {
        offset,
        expected: `less than ${blockLength}`,
        found: blockOffset,
      });
    }
    const dataLength = await dataLengthOf(cursor, ram, kind);
    const dataOffset = cursor.position;
    if (kind === 'zero') await assertZeroFill(cursor);
    else cursor.skip(dataLength);
    const length = cursor.position - offset;
    batch.push({ type: 'ram-page', offset, length, kind, block, blockOffset, dataOffset, dataLength });
    if (batch.length === BATCH) {
      yield batch;
      batch = [];
    }
  }
  yield batch;
}

function pageKind(cursor: StreamCursor, offset: number, word: number, flags: number): RamPageRecord['kind'] {
  // Flags stay below 2^16, so bit operations are safe on them.
  const kind = flags & ~RAM_FLAG.continue;
  if (kind === RAM_FLAG.zero) return 'zero';
  if (kind === RAM_FLAG.page) return 'page';
  if (kind === RAM_FLAG.xbzrle) return 'xbzrle';
  if (kind === RAM_FLAG.compressPage) return 'compressed';
  const name = UNSUPPORTED.get(kind);
  if (name === undefined)
    throw unexpected(cursor, offset, word, 'zero, page, xbzrle, compressed page or end of section');
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `RAM record: ${name}`, {
    path: cursor.reader.name,
    offset,
  });
}

async function blockOf(cursor: StreamCursor, ram: RamState, flags: number, offset: number): Promise<string> {
  if ((flags & RAM_FLAG.continue) !== 0) {
    if (ram.lastBlock === undefined) throw cursor.corrupt('the first RAM record names no block', { offset });
    return ram.lastBlock;
  }
  const block = await cursor.name('id of a RAM block');
  if (!ram.lengths.has(block)) throw cursor.corrupt(`unknown RAM block ${block}`, { offset });
  ram.lastBlock = block;
  return block;
}

async function dataLengthOf(
  cursor: StreamCursor,
  ram: RamState,
  kind: RamPageRecord['kind'],
): Promise<number> {
  if (kind === 'zero') return 1;
  if (kind === 'page') return ram.targetPageSize;
  if (kind === 'compressed') return compressedLength(cursor, ram.targetPageSize);
  await cursor.need(3);
  const offset = cursor.position;
  const encoding = cursor.u8();
  const length = cursor.u16();
  if (encoding === 1 && length <= ram.targetPageSize) return length;
  throw cursor.corrupt('xbzrle record', {
    offset,
    expected: `encoding 1, at most ${ram.targetPageSize} bytes`,
    found: `encoding ${encoding}, ${length} bytes`,
  });
}

/**
 * Reads the length of compressed data. The limit is zlib's most for a page; QEMU's reader takes no more (docs/format.md
 * §3).
 */
async function compressedLength(cursor: StreamCursor, pageSize: number): Promise<number> {
  await cursor.need(4);
  const offset = cursor.position;
  const length = cursor.u32();
  const most = pageSize + (pageSize >>> 12) + (pageSize >>> 14) + (pageSize >>> 25) + 13;
  if (length <= most) return length;
  throw cursor.corrupt('length of a compressed page', { offset, expected: `at most ${most}`, found: length });
}

async function assertZeroFill(cursor: StreamCursor): Promise<void> {
  if (!cursor.has(1)) await cursor.need(1);
  const offset = cursor.position;
  const fill = cursor.u8();
  if (fill !== 0) throw cursor.corrupt('fill byte of a zero page', { offset, expected: 0, found: fill });
}

function unexpected(cursor: StreamCursor, offset: number, word: number, expected: string): MappedRamError {
  return cursor.corrupt('unexpected RAM record', { offset, expected, found: `0x${word.toString(16)}` });
}
