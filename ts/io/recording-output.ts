import type { PageArea } from '../stream/page-area.ts';
import { truncated } from '../stream/reader.ts';
import type { LocalFile } from './open-source.ts';
import type { Output } from './output.ts';

/**
 * An output that remembers the bytes that are written outside of page areas, for outputs that cannot be read: headers,
 * bitmaps and device state, which are little beside the pages.
 */
export class RecordingOutput implements Output {
  readonly name: string;
  readonly offset: number;
  readonly file: LocalFile | undefined;
  readonly #output: Output;
  readonly #areas: readonly PageArea[];
  readonly #written: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  #size = 0;

  /** @param areas the page areas, whose bytes are not remembered */
  constructor(output: Output, areas: readonly PageArea[]) {
    this.name = output.name;
    this.offset = output.offset;
    this.file = output.file;
    this.#output = output;
    this.#areas = areas;
  }

  get size(): number {
    return this.#size;
  }

  async allocate(size: number): Promise<void> {
    await this.#output.allocate(size);
    this.#size = size;
  }

  async writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#output.writeAt(bytes, offset);
    const isPages = this.#areas.some(
      ({ pagesOffset, length }) => pagesOffset <= offset && offset < pagesOffset + length,
    );
    if (!isPages) this.#written.push({ offset, bytes: bytes.slice() });
  }

  /** Reads back the bytes that were written outside of page areas. */
  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    const end = offset + bytes.length;
    if (end > this.#size) throw truncated(this.name, offset, bytes.length, this.#size);
    bytes.fill(0);
    for (const part of this.#written) {
      const [from, to] = [Math.max(offset, part.offset), Math.min(end, part.offset + part.bytes.length)];
      if (from < to) bytes.set(part.bytes.subarray(from - part.offset, to - part.offset), from - offset);
    }
  }

  async finish(): Promise<void> {
    await this.#output.finish();
  }

  async publish(): Promise<void> {
    await this.#output.publish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output[Symbol.asyncDispose]();
  }
}
