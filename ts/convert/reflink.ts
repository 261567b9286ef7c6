import { cloneFile } from '../engine/clone-file.ts';
import { MemoryProgress } from '../engine/memory-progress.ts';
import type { TransferOptions } from '../engine/transfer-options.ts';
import { zeroRanges } from '../engine/zero-ranges.ts';
import { MappedRamError } from '../errors.ts';
import { localFile, type OpenSource } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import { writePieces } from '../io/write-pieces.ts';
import { BitmapCache } from '../pages/bitmap-cache.ts';
import { pagesOf } from '../pages/bitmap-reader.ts';
import { PageBits, zeroTest } from '../pages/page-bits.ts';
import { pageRuns } from '../pages/page-runs.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import type { DeltaBase } from '../snapshot/delta-base.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { bitmapBytes, type PageArea } from '../stream/page-area.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import { piecesBehindRam } from '../stream/write/behind-ram.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { encodeRamEos } from '../stream/write/encode-ram.ts';
import { PieceList } from '../stream/write/pieces.ts';
import { recordedAs } from './recorded-as.ts';

/** The most bytes that are read at once. */
const WINDOW = 1 << 20;

/**
 * Makes the output a clone of a delta's base, where that is possible.
 * @returns the reason in words why it is not, and nothing is written then; undefined when the output is a clone now
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function whyNoReflink({ base, index }: Snapshot, output: Output): Promise<string | undefined> {
  if (base === undefined) return 'the snapshot is whole';
  const from = base.reader.file;
  if (from === undefined) return 'the base is no file on this host';
  if (output.file === undefined) return 'the result is no file on this host';
  if (output.file.path === undefined) return 'the result is a file that is there already';
  if (output.offset !== 0 || base.index.base !== 0) {
    return 'the result, or the base, does not start at the beginning of its file';
  }
  const end = endOf(base);
  if (base.blocks.some(({ area }) => area.bitmapOffset > end)) return 'the base has bitmaps behind its pages';
  const id = base.index.ram?.sectionId;
  // The head of the base stays, and with it the number of RAM's section: no other section may have it.
  if (id !== index.ram?.sectionId && index.sections.some(({ sectionId }) => sectionId === id)) {
    return 'the sections have other numbers in the base';
  }
  return cloneFile(from.fd, output.file.fd, output.name);
}

/**
 * Turns a clone of a delta's base into the delta's guest: writes the pages of the delta in their places, and its device
 * state behind them.
 * @throws {MappedRamError} the errors of the sources and of the output; the signal's reason
 */
export async function writeReflink(
  snapshot: Snapshot,
  output: Output,
  { signal, onProgress }: Pick<TransferOptions, 'signal' | 'onProgress'>,
): Promise<{ readonly endOffset: number; readonly dataBytes: number }> {
  const { base, index, reader, sources, libvirt } = snapshot;
  const [own] = sources;
  const { ram } = base?.index ?? {};
  if (base === undefined || own === undefined || ram === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a clone without a base', { path: snapshot.path });
  }
  const configuration = mappedConfiguration(index.configuration);
  const vmdescription = await readVmdescriptionFor(reader, index, configuration);
  const { patches } = await recordedAs(reader, index, libvirt);
  const end = endOf(base);
  const eos = encodeRamEos(ram.sectionId);
  const head = new PieceList(end);
  head.bytes(eos);
  const tail = piecesBehindRam({ state: index, vmdescription, patches }, end + eos.length, ram.sectionId);
  const progress = new MemoryProgress(ram.total, onProgress);
  let dataBytes = 0;
  for (const block of snapshot.completeRam().blocks) {
    dataBytes += await writeBlock(own, base, block, output, progress, signal);
  }
  // The end of the base may be behind that of the result.
  await output.allocate(end);
  await output.allocate(tail.offset);
  await writePieces(output, [...head.list, ...tail.list], own, signal);
  progress.end(dataBytes);
  return { endOffset: tail.offset, dataBytes };
}

/** Offset behind the last block's pages in a base. */
function endOf({ blocks }: DeltaBase): number {
  return Math.max(...blocks.map(({ area }) => area.pagesOffset + area.length));
}

/** Writes a block's pages over those of the base, and its bitmap. Returns the bytes of the pages. */
async function writeBlock(
  own: OpenSource,
  base: DeltaBase,
  block: MappedRamBlock,
  output: Output,
  progress: MemoryProgress,
  signal: AbortSignal | undefined,
): Promise<number> {
  const below = base.blocks.find(({ id }) => id === block.id);
  if (below === undefined) return 0;
  const { area } = below;
  const { pageSize } = area;
  const bits = new PageBits();
  for await (const { page, isSet } of pagesOf(base.reader, below)) if (isSet) bits.set(page);
  const storesZeros = storesZeroPages(block.id, 'firmware');
  const isZero = zeroTest(pageSize);
  const holes: number[] = [];
  let data = 0;
  for await (const { first, bytes } of pagesIn(own, block.area)) {
    signal?.throwIfAborted();
    const count = bytes.length / pageSize;
    let start: number | undefined;
    const flush = async (to: number): Promise<void> => {
      if (start === undefined) return;
      const stretch = bytes.subarray(start * pageSize, to * pageSize);
      await output.writeAt(stretch, area.pagesOffset + (first + start) * pageSize);
      data += stretch.length;
      start = undefined;
    };
    for (let page = 0; page < count; page += 1) {
      if (!isZero(bytes.subarray(page * pageSize, (page + 1) * pageSize))) {
        start ??= page;
        bits.set(first + page);
        continue;
      }
      await flush(page);
      holes.push(area.pagesOffset + (first + page) * pageSize, pageSize);
      if (storesZeros) bits.set(first + page);
      else bits.clear(first + page);
    }
    await flush(count);
  }
  if (holes.length > 0) await zeroRanges(localFile(output, 'flattening').fd, output.name, merged(holes));
  await writeBits(output, area, bits, signal);
  progress.add(area.length, data);
  return data;
}

/** The pages of a block that are in a delta, a window at a time. The bytes are valid until the next window comes. */
async function* pagesIn(
  own: OpenSource,
  area: PageArea,
): AsyncGenerator<{ readonly first: number; readonly bytes: Uint8Array }, void, void> {
  const buffer = Buffer.allocUnsafe(WINDOW);
  for await (const { offset, length, fileOffset } of pageRuns(new BitmapCache(own), area)) {
    if (fileOffset === undefined) continue;
    for (let done = 0; done < length; done += WINDOW) {
      const bytes = buffer.subarray(0, Math.min(WINDOW, length - done));
      await own.readInto(bytes, fileOffset + done);
      yield { first: (offset + done) / area.pageSize, bytes };
    }
  }
}

/** Writes a whole bitmap: the clone has the base's there. */
async function writeBits(
  output: Output,
  area: PageArea,
  bits: PageBits,
  signal: AbortSignal | undefined,
): Promise<void> {
  const size = bitmapBytes(area);
  const whole = new Uint8Array(size);
  for (const { offset, bytes } of bits.pieces()) whole.set(bytes.subarray(0, size - offset), offset);
  for (let done = 0; done < size; done += WINDOW) {
    signal?.throwIfAborted();
    await output.writeAt(whole.subarray(done, done + WINDOW), area.bitmapOffset + done);
  }
}

/** Joins ranges that touch; each is offset and length. */
function merged(ranges: readonly number[]): readonly number[] {
  const joined: number[] = [];
  for (let index = 0; index < ranges.length; index += 2) {
    const [offset, length] = [ranges[index] ?? 0, ranges[index + 1] ?? 0];
    const last = joined.length - 2;
    if (last >= 0 && (joined[last] ?? 0) + (joined[last + 1] ?? 0) === offset) {
      joined[last + 1] = (joined[last + 1] ?? 0) + length;
    } else {
      joined.push(offset, length);
    }
  }
  return joined;
}
