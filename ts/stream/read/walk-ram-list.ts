import { MappedRamError } from '../../errors.ts';
import { MAPPED_RAM_HEADER_BYTES, MAPPED_RAM_HEADER_VERSION, MAX_BLOCKS, RAM_FLAG } from '../constants.ts';
import { bitmapBytes } from '../page-area.ts';
import type { RamState } from './ram-state.ts';
import type { MappedBlock, RamBlockRecord } from '../records.ts';
import { truncated } from '../reader.ts';
import type { StreamCursor } from './stream-cursor.ts';

/** Reads the word that opens RAM's block list; returns the sum it announces (docs/format.md §2.1). */
export async function readListWord(cursor: StreamCursor, ram: RamState): Promise<number> {
  await cursor.need(8);
  const offset = cursor.position;
  const word = cursor.u64('the RAM header word');
  const flags = word % ram.targetPageSize;
  if (flags !== RAM_FLAG.memSize) {
    throw cursor.corrupt('flags of the RAM header word', {
      offset,
      expected: `0x${RAM_FLAG.memSize.toString(16)}`,
      found: `0x${flags.toString(16)}`,
    });
  }
  return word - flags;
}

/** Yields the entries of the block list; the cursor ends at the word after it (docs/format.md §2.2). */
export async function* walkRamList(
  cursor: StreamCursor,
  ram: RamState,
  total: number,
): AsyncGenerator<RamBlockRecord, void, void> {
  let left = total;
  while (left > 0) {
    const offset = cursor.position;
    if (ram.lengths.size === MAX_BLOCKS) {
      throw cursor.corrupt('number of RAM blocks', { expected: `at most ${MAX_BLOCKS}`, found: 'more' });
    }
    const id = await cursor.name('id of a RAM block');
    if (ram.lengths.has(id)) throw cursor.corrupt(`RAM block ${id} comes twice`, { offset });
    await cursor.need(8);
    const blockLength = cursor.u64(`length of RAM block ${id}`);
    if (blockLength === 0 || blockLength % ram.targetPageSize !== 0) {
      throw cursor.corrupt(`length of RAM block ${id}`, {
        offset,
        expected: `a multiple of ${ram.targetPageSize}`,
        found: blockLength,
      });
    }
    if (blockLength > left) {
      throw cursor.corrupt('the RAM blocks are longer than their announced sum', {
        offset,
        expected: total,
        found: `at least ${total - left + blockLength}`,
      });
    }
    left -= blockLength;
    const pageSize = await readPageSize(cursor, ram, left);
    const address = ram.addresses ? await readAddress(cursor, id) : undefined;
    const mapped =
      ram.form === 'mapped-ram' ? await readMappedBlock(cursor, ram, { id, blockLength, offset }) : undefined;
    ram.lengths.set(id, blockLength);
    const length = cursor.position - offset;
    yield {
      type: 'ram-block',
      offset,
      length,
      id,
      blockLength,
      ...(address === undefined ? {} : { address }),
      ...(pageSize === undefined ? {} : { pageSize }),
      ...(mapped === undefined ? {} : { mapped }),
    };
    // The stream goes on behind the pages: bitmaps may be elsewhere, page areas may not (docs/format.md §2.6, §9).
    if (mapped !== undefined && !mapped.skipped) cursor.seek(mapped.area.pagesOffset + blockLength);
  }
}

/**
 * Reads the block's page size, which a writer with postcopy-ram puts in when it is not the host's. Nothing announces
 * it. But a page size starts with a zero byte, which the next entry's id length never is, and the word of flags after
 * the last entry is less than any page size. Neither mapped-ram nor x-ignore-shared goes with postcopy-ram
 * (docs/format.md §2.2).
 */
async function readPageSize(cursor: StreamCursor, ram: RamState, left: number): Promise<number | undefined> {
  if (ram.addresses || ram.form === 'mapped-ram') return undefined;
  await cursor.need(1);
  if (cursor.peek() !== 0) return undefined;
  await cursor.need(8);
  const offset = cursor.position;
  if (left === 0 && isFlagsOnly(cursor, ram.targetPageSize)) return undefined;
  const pageSize = cursor.u64('page size of a RAM block');
  if (pageSize < ram.targetPageSize || !Number.isInteger(Math.log2(pageSize))) {
    throw cursor.corrupt('page size of a RAM block', { offset, expected: 'a power of two', found: pageSize });
  }
  return pageSize;
}

/** Tells whether the be64 at the cursor, which is in the window, is less than a page. */
function isFlagsOnly(cursor: StreamCursor, targetPageSize: number): boolean {
  for (let index = 0; index < 6; index += 1) if (cursor.peek(index) !== 0) return false;
  return cursor.peek(6) * 256 + cursor.peek(7) < targetPageSize;
}

async function readAddress(cursor: StreamCursor, id: string): Promise<number> {
  await cursor.need(8);
  return cursor.u64(`address of RAM block ${id}`);
}

/** Reads and checks a MappedRamHeader (docs/format.md §2.3, §2.4). */
async function readMappedBlock(
  cursor: StreamCursor,
  ram: RamState,
  entry: { readonly id: string; readonly blockLength: number; readonly offset: number },
): Promise<MappedBlock> {
  const { id, blockLength } = entry;
  await cursor.need(MAPPED_RAM_HEADER_BYTES);
  const headerOffset = cursor.position;
  const headerVersion = cursor.u32();
  if (headerVersion > MAPPED_RAM_HEADER_VERSION) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', `mapped-ram header of block ${id}`, {
      path: cursor.reader.name,
      offset: headerOffset,
      expected: `at most ${MAPPED_RAM_HEADER_VERSION}`,
      found: headerVersion,
    });
  }
  const targetPageSize = cursor.u64(`page size of block ${id}`);
  if (targetPageSize !== ram.targetPageSize) {
    throw cursor.corrupt(`page size of block ${id}`, {
      offset: headerOffset + 4,
      expected: ram.targetPageSize,
      found: targetPageSize,
    });
  }
  const bitmapOffset = cursor.u64(`bitmap_offset of block ${id}`);
  const pagesOffset = cursor.u64(`pages_offset of block ${id}`);
  const area = { pagesOffset, bitmapOffset, length: blockLength, pageSize: targetPageSize };
  const header = { headerOffset, headerVersion, area };
  takeRange(cursor, ram, `list entry of block ${id}`, entry.offset, cursor.position);
  if (ram.addresses && bitmapOffset === 0 && pagesOffset === 0) return { ...header, skipped: true };

  if (pagesOffset % targetPageSize !== 0 || pagesOffset < cursor.position) {
    throw cursor.corrupt(`pages_offset of block ${id}`, {
      offset: headerOffset + 20,
      expected: `a multiple of ${targetPageSize} after its header`,
      found: pagesOffset,
    });
  }
  const bitmapSize = bitmapBytes(area);
  const { name, size } = cursor.reader;
  if (bitmapOffset + bitmapSize > size) throw truncated(name, bitmapOffset, bitmapSize, size);
  if (pagesOffset + blockLength > size) throw truncated(name, pagesOffset, blockLength, size);
  takeRange(cursor, ram, `bitmap of block ${id}`, bitmapOffset, bitmapOffset + bitmapSize);
  takeRange(cursor, ram, `pages of block ${id}`, pagesOffset, pagesOffset + blockLength);
  return { ...header, skipped: false };
}

function takeRange(cursor: StreamCursor, ram: RamState, what: string, start: number, end: number): void {
  if (ram.taken.add(start, end)) return;
  throw cursor.corrupt(`the ${what} overlaps another block's data`, { offset: start });
}
