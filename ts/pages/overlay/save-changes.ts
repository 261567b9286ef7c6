import { MemoryProgress } from '../../engine/memory-progress.ts';
import type { TransferMemory } from '../../engine/transfer.ts';
import type { TransferOptions } from '../../engine/transfer-options.ts';
import type { Output } from '../../io/output.ts';
import { bitmapBytes, type PageArea, pagesIn } from '../../stream/page-area.ts';
import { BitmapCache } from '../bitmap-cache.ts';
import { openEach, openMemory, type SnapshotBlock } from '../memory-access.ts';
import { PageBits, zeroTest } from '../page-bits.ts';
import { pageRuns } from '../page-runs.ts';

/** Pages that follow each other. */
export interface PageStretch {
  readonly first: number;
  readonly count: number;
}

/** A block of a delta that is to be written: its memory, and which of it may differ from the base. */
export interface ChangedRegion {
  readonly name: string;
  /** The block's place in the delta. */
  readonly area: PageArea;
  readonly memory: TransferMemory | SnapshotBlock;
  /** The pages to look at, in order and apart. @default all pages */
  readonly changed?: readonly PageStretch[] | undefined;
  readonly base: SnapshotBlock;
  /** Leaves out pages that are as in the base, which is read for that. @default false */
  readonly compare?: boolean | undefined;
  /** Zero pages that the base does not have are stored, too. @default false */
  readonly storeZeroPages?: boolean | undefined;
}

/** The pages of a block in the delta. */
export interface ChangedPages {
  readonly id: string;
  /** Pages that are in the delta. */
  readonly pages: number;
  /** Those of them that are zero: they have a bit and no bytes. */
  readonly zeroPages: number;
}

/** The most bytes that are read at once. */
const WINDOW = 1 << 20;
/** The largest gap, in bytes, between stretches that are read at once: it costs less than another read. */
const MAX_GAP = 1 << 16;

/**
 * Writes changed pages of blocks, and the bitmaps, into a delta that has its size. A zero page where the base has none
 * is left out: it reads as zeros from there, too.
 *
 * The pages pass through JavaScript, which compares them with the base where that is asked for.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} the errors of the memory, the base and the output
 */
export async function saveChanges(
  output: Output,
  regions: readonly ChangedRegion[],
  { signal, onProgress }: Pick<TransferOptions, 'signal' | 'onProgress'>,
): Promise<readonly ChangedPages[]> {
  signal?.throwIfAborted();
  const total = regions.reduce((sum, region) => sum + bytesOf(region), 0);
  const progress = new MemoryProgress(total, onProgress);
  await using memories = await openEach(regions, ({ name, memory }) => openMemory(name, memory));
  await using bases = await openEach(regions, ({ name, base }) => openMemory(name, base));
  const saved: ChangedPages[] = [];
  let data = 0;
  for (const [index, region] of regions.entries()) {
    const [memory, base] = [memories.list[index], bases.list[index]];
    if (memory === undefined || base === undefined) continue;
    const found = await saveRegion(output, region, { memory, base, progress, signal });
    data += (found.pages - found.zeroPages) * region.area.pageSize;
    saved.push(found);
  }
  progress.end(data);
  return saved;
}

interface Tools {
  readonly memory: { readonly read: (bytes: Uint8Array, offset: number) => Promise<number> };
  readonly base: { readonly read: (bytes: Uint8Array, offset: number) => Promise<number> };
  readonly progress: MemoryProgress;
  readonly signal: AbortSignal | undefined;
}

async function saveRegion(output: Output, region: ChangedRegion, tools: Tools): Promise<ChangedPages> {
  const { name, area, base, compare = false } = region;
  const { pageSize } = area;
  const cache = new BitmapCache(base.source);
  const isZero = zeroTest(pageSize);
  const bits = new PageBits();
  const [buffer, other] = [Buffer.allocUnsafe(WINDOW), Buffer.allocUnsafe(compare ? WINDOW : 0)];
  let [pages, zeroPages] = [0, 0];
  for (const { first, count, parts } of windowsOf(region)) {
    tools.signal?.throwIfAborted();
    const bytes = buffer.subarray(0, count * pageSize);
    await tools.memory.read(bytes, first * pageSize);
    if (compare) await tools.base.read(other.subarray(0, bytes.length), first * pageSize);
    const isInBase = await pagesInBase(cache, base.area, first, count);
    const isAsked = new Uint8Array(count);
    for (const part of parts) isAsked.fill(1, part.first - first, part.first - first + part.count);
    let data = 0;
    let start: number | undefined;
    const flush = async (end: number): Promise<void> => {
      if (start === undefined) return;
      await output.writeAt(bytes.subarray(start, end), area.pagesOffset + first * pageSize + start);
      data += end - start;
      start = undefined;
    };
    for (let page = 0; page < count; page += 1) {
      const at = page * pageSize;
      const content = bytes.subarray(at, at + pageSize);
      const isBlank = isZero(content);
      const isAsBefore = compare
        ? Buffer.compare(content, other.subarray(at, at + pageSize)) === 0
        : isBlank && region.storeZeroPages !== true && isInBase[page] !== 1;
      const isLeftOut = isAsBefore || isAsked[page] !== 1;
      if (isLeftOut || isBlank) await flush(at);
      else start ??= at;
      if (isLeftOut) continue;
      bits.set(first + page);
      pages += 1;
      if (isBlank) zeroPages += 1;
    }
    await flush(bytes.length);
    tools.progress.add(pagesOf(parts) * pageSize, data);
  }
  await writeBitmap(output, area, bits, tools.signal);
  return { id: name, pages, zeroPages };
}

/** Writes the bits. A page's bit comes after the page; bits that are clear read as such already. */
async function writeBitmap(
  output: Output,
  area: PageArea,
  bits: PageBits,
  signal: AbortSignal | undefined,
): Promise<void> {
  const size = bitmapBytes(area);
  for (const { offset, bytes } of bits.pieces()) {
    signal?.throwIfAborted();
    await output.writeAt(bytes.subarray(0, size - offset), area.bitmapOffset + offset);
  }
}

/** Tells of each of some pages whether the base has it: 1 or 0. */
async function pagesInBase(
  cache: BitmapCache,
  area: PageArea,
  first: number,
  count: number,
): Promise<Uint8Array> {
  const found = new Uint8Array(count);
  for await (const { offset, length, fileOffset } of pageRuns(cache, area, first, first + count)) {
    const [start, end] = [offset / area.pageSize - first, (offset + length) / area.pageSize - first];
    if (fileOffset !== undefined) found.fill(1, start, end);
  }
  return found;
}

/** Pages that are read at once, and those of them that may have changed. */
interface Window extends PageStretch {
  readonly parts: readonly PageStretch[];
}

/** The windows of a block, in order: stretches that lie close together are read at once. */
function* windowsOf({ area, changed }: ChangedRegion): Generator<Window, void, void> {
  const most = Math.max(1, Math.floor(WINDOW / area.pageSize));
  const gap = Math.floor(MAX_GAP / area.pageSize);
  let parts: PageStretch[] = [];
  let [first, end] = [0, 0];
  for (const part of split(changed ?? [{ first: 0, count: pagesIn(area) }], most)) {
    const next = part.first + part.count;
    if (parts.length > 0 && (next - first > most || part.first - end > gap)) {
      yield { first, count: end - first, parts };
      parts = [];
    }
    if (parts.length === 0) ({ first } = part);
    parts.push(part);
    end = next;
  }
  if (parts.length > 0) yield { first, count: end - first, parts };
}

/** Splits stretches into such of at most so many pages. */
function* split(stretches: readonly PageStretch[], most: number): Generator<PageStretch, void, void> {
  for (const { first, count } of stretches) {
    for (let page = first; page < first + count; page += most) {
      yield { first: page, count: Math.min(most, first + count - page) };
    }
  }
}

function bytesOf({ area, changed }: ChangedRegion): number {
  return changed === undefined ? area.length : pagesOf(changed) * area.pageSize;
}

function pagesOf(stretches: readonly PageStretch[]): number {
  return stretches.reduce((sum, { count }) => sum + count, 0);
}
