import { zeroRanges } from '../../engine/zero-ranges.ts';
import { FileReader } from '../../io/file-reader.ts';
import { localFile, type OpenSource } from '../../io/open-source.ts';
import type { Output } from '../../io/output.ts';
import { bitmapBytes, type PageArea } from '../../stream/page-area.ts';
import type { ByteRange } from '../../stream/reader.ts';
import { BitmapCache } from '../bitmap-cache.ts';
import { PageBits, zeroTest } from '../page-bits.ts';
import { pageRuns } from '../page-runs.ts';

/** A block of a delta, and its place in a file that has the block as it is in the base. */
export interface AppliedBlock {
  /** The block's place in the delta. */
  readonly from: PageArea;
  /** The block's place in the output. */
  readonly to: PageArea;
  /** Zero pages keep their bits. @default false: they become holes, with clear bits */
  readonly storeZeroPages?: boolean | undefined;
}

/** The most bytes that are read at once. */
const WINDOW = 1 << 20;

/**
 * Writes the pages of a delta's block over those of the base, which the output has already, and changes the bitmap.
 * @param delta the delta alone
 * @param output one that is a file
 * @returns the bytes of the pages that were written
 * @throws {MappedRamError} the errors of the delta and of the output; the signal's reason
 */
export async function applyDelta(
  delta: OpenSource,
  output: Output,
  { from, to, storeZeroPages = false }: AppliedBlock,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { fd } = localFile(output, 'writing a delta over its base');
  const { pageSize } = to;
  const bits = await bitsIn(fd, to);
  const isZero = zeroTest(pageSize);
  const holes: ByteRange[] = [];
  let written = 0;
  for await (const { first, bytes } of changedPages(delta, from)) {
    signal?.throwIfAborted();
    const count = bytes.length / pageSize;
    let start: number | undefined;
    const flush = async (end: number): Promise<void> => {
      if (start === undefined) return;
      const stretch = bytes.subarray(start * pageSize, end * pageSize);
      await output.writeAt(stretch, to.pagesOffset + (first + start) * pageSize);
      written += stretch.length;
      start = undefined;
    };
    for (let page = 0; page < count; page += 1) {
      if (isZero(bytes.subarray(page * pageSize, (page + 1) * pageSize))) {
        await flush(page);
        addHole(holes, { offset: to.pagesOffset + (first + page) * pageSize, length: pageSize });
        if (storeZeroPages) bits.set(first + page);
        else bits.clear(first + page);
      } else {
        start ??= page;
        bits.set(first + page);
      }
    }
    await flush(count);
  }
  if (holes.length > 0) {
    const ranges = holes.flatMap(({ offset, length }) => [offset, length]);
    await zeroRanges(fd, output.name, ranges);
  }
  await writeBits(output, to, bits, signal);
  return written;
}

/** The bits that the output has. */
async function bitsIn(fd: number, area: PageArea): Promise<PageBits> {
  await using reader = await FileReader.over(fd);
  const bits = new PageBits();
  for await (const { offset, length, fileOffset } of pageRuns(new BitmapCache(reader), area)) {
    if (fileOffset === undefined) continue;
    for (let at = offset; at < offset + length; at += area.pageSize) bits.set(at / area.pageSize);
  }
  return bits;
}

/** The pages of a block that are in a delta, a window at a time. The bytes are valid until the next window comes. */
async function* changedPages(
  delta: OpenSource,
  area: PageArea,
): AsyncGenerator<{ readonly first: number; readonly bytes: Uint8Array }, void, void> {
  const buffer = Buffer.allocUnsafe(WINDOW);
  for await (const { offset, length, fileOffset } of pageRuns(new BitmapCache(delta), area)) {
    if (fileOffset === undefined) continue;
    for (let done = 0; done < length; done += WINDOW) {
      const bytes = buffer.subarray(0, Math.min(WINDOW, length - done));
      await delta.readInto(bytes, fileOffset + done);
      yield { first: (offset + done) / area.pageSize, bytes };
    }
  }
}

/** Writes a whole bitmap, a part at a time: the output has other bits there. */
async function writeBits(
  output: Output,
  area: PageArea,
  bits: PageBits,
  signal: AbortSignal | undefined,
): Promise<void> {
  const size = bitmapBytes(area);
  let done = 0;
  const zeros = async (end: number): Promise<void> => {
    for (; done < end; done += Math.min(WINDOW, end - done)) {
      await output.writeAt(new Uint8Array(Math.min(WINDOW, end - done)), area.bitmapOffset + done);
    }
  };
  for (const { offset, bytes } of bits.pieces()) {
    signal?.throwIfAborted();
    await zeros(offset);
    const part = bytes.subarray(0, size - offset);
    await output.writeAt(part, area.bitmapOffset + offset);
    done = offset + part.length;
  }
  await zeros(size);
}

/** Adds a range, to the last one where the two touch. */
function addHole(holes: ByteRange[], { offset, length }: ByteRange): void {
  const last = holes.at(-1);
  if (last !== undefined && last.offset + last.length === offset) {
    holes[holes.length - 1] = { offset: last.offset, length: last.length + length };
  } else {
    holes.push({ offset, length });
  }
}
