import { MappedRamError } from '../../errors.ts';
import { ByteWriter } from './byte-writer.ts';
import { DEFAULT_TARGET_PAGE_SIZE, RAM_FLAG } from '../constants.ts';
import { encodeName } from '../text.ts';

interface PageRecordOptions {
  /** Size of a target page in bytes. Default 4096. */
  readonly targetPageSize?: number;
  /** True when the record before this one, in whichever RAM section, named the same block. Default false. */
  readonly sameBlock?: boolean;
}

/** Encodes the head of a page's record in a plain RAM section (docs/format.md §3); the page's bytes follow. */
export function encodePageHeader(block: string, offset: number, options: PageRecordOptions = {}): Uint8Array {
  return recordHead(RAM_FLAG.page, block, offset, options).finish();
}

/**
 * Encodes a page that is all zero: QEMU clears it, so it also overwrites what the destination had (docs/format.md §3).
 */
export function encodeZeroPage(block: string, offset: number, options: PageRecordOptions = {}): Uint8Array {
  return recordHead(RAM_FLAG.zero, block, offset, options).u8(0).finish();
}

function recordHead(flag: number, block: string, offset: number, options: PageRecordOptions): ByteWriter {
  const { targetPageSize = DEFAULT_TARGET_PAGE_SIZE, sameBlock = false } = options;
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % targetPageSize !== 0) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `offset of a page in block ${block}`, {
      expected: `a multiple of ${targetPageSize}`,
      found: offset,
    });
  }
  const writer = new ByteWriter();
  if (sameBlock) return writer.u64(offset + flag + RAM_FLAG.continue);
  const id = encodeName(block, 'block id');
  return writer
    .u64(offset + flag)
    .u8(id.length)
    .bytes(id);
}
