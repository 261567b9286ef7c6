import type { OpenSource, Overlay } from '../../io/open-source.ts';
import { bitmapBytes, type PageArea } from '../../stream/page-area.ts';
import { truncated } from '../../stream/reader.ts';
import { BitmapCache } from '../bitmap-cache.ts';
import { pageRuns } from '../page-runs.ts';

/** A stretch of the delta that reads otherwise than it stands in the file. Offsets are in the delta. */
interface Part {
  readonly start: number;
  readonly end: number;
  /** Fills the buffer with what the two have from an offset in the stretch on. */
  readonly fill: (bytes: Uint8Array, offset: number) => Promise<void>;
}

/**
 * A delta and its base as one snapshot. It has the layout of the delta: the same head, the same places, the same device
 * state. Its bitmaps have the pages of both, and a page reads as the delta has it, or else as the base has it. So whoever
 * reads a snapshot through an `OpenSource` reads a delta with its base, and knows nothing of it.
 */
export class OverlaySource implements OpenSource {
  readonly name: string;
  readonly size: number;
  /** Bytes that are allocated for the delta: the base has room of its own. */
  readonly allocated: number;
  readonly file = undefined;
  readonly overlay: Overlay;
  /** In the order of the delta. */
  readonly #parts: readonly Part[];
  /** Bitmaps of the delta alone. */
  readonly #cache: BitmapCache;

  /** The source closes both of its sources. */
  constructor(overlay: Overlay) {
    const { delta, blocks } = overlay;
    this.name = delta.name;
    this.size = delta.size;
    this.allocated = delta.allocated;
    this.overlay = overlay;
    this.#cache = new BitmapCache(delta);
    const parts = blocks.flatMap((block) => [this.#bitmapOf(block), this.#pagesOf(block)]);
    this.#parts = parts.toSorted((left, right) => left.start - right.start);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    // The check comes before the allocation: a lying length must not size it.
    if (offset + length > this.size) throw truncated(this.name, offset, length, this.size);
    const bytes = Buffer.allocUnsafe(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    const end = offset + bytes.length;
    for (let at = offset; at < end;) {
      const part = this.#parts.find((candidate) => candidate.end > at);
      const isInside = part !== undefined && part.start <= at;
      const stop = Math.min(end, (isInside ? part.end : part?.start) ?? end);
      const stretch = bytes.subarray(at - offset, stop - offset);
      await (isInside ? part.fill(stretch, at) : this.overlay.delta.readInto(stretch, at));
      at = stop;
    }
  }

  until(signal: AbortSignal): OverlaySource {
    const { base, delta, blocks } = this.overlay;
    return new OverlaySource({
      base: base.until?.(signal) ?? base,
      delta: delta.until?.(signal) ?? delta,
      blocks,
    });
  }

  async close(): Promise<void> {
    await this.overlay.delta.close();
    await this.overlay.base.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #bitmapOf({ base, delta }: Overlay['blocks'][number]): Part {
    const start = delta.bitmapOffset;
    const fill = async (bytes: Uint8Array, offset: number): Promise<void> => {
      const other = Buffer.allocUnsafe(bytes.length);
      await this.overlay.delta.readInto(bytes, offset);
      await this.overlay.base.readInto(other, base.bitmapOffset + (offset - start));
      for (const [index, byte] of other.entries()) bytes[index] = (bytes[index] ?? 0) | byte;
    };
    return { start, end: start + bitmapBytes(delta), fill };
  }

  #pagesOf({ base, delta }: Overlay['blocks'][number]): Part {
    const { pagesOffset: start, length } = delta;
    const fill = (bytes: Uint8Array, offset: number): Promise<void> =>
      this.#fillPages(bytes, base, delta, offset - start);
    return { start, end: start + length, fill };
  }

  /** @param from where the buffer starts in the block, in bytes */
  async #fillPages(bytes: Uint8Array, base: PageArea, delta: PageArea, from: number): Promise<void> {
    const { pageSize } = delta;
    const end = from + bytes.length;
    const [first, last] = [Math.floor(from / pageSize), Math.ceil(end / pageSize)];
    const changed: { readonly start: number; readonly end: number }[] = [];
    for await (const run of pageRuns(this.#cache, delta, first, last)) {
      if (run.fileOffset === undefined) continue;
      changed.push({ start: Math.max(from, run.offset), end: Math.min(end, run.offset + run.length) });
    }
    const [only] = changed;
    const isWhole = only !== undefined && only.start === from && only.end === end;
    // One read and some bytes too many cost less than a read for each gap.
    if (!isWhole) await this.overlay.base.readInto(bytes, base.pagesOffset + from);
    for (const run of changed) {
      const stretch = bytes.subarray(run.start - from, run.end - from);
      await this.overlay.delta.readInto(stretch, delta.pagesOffset + run.start);
    }
  }
}
