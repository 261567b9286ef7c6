import type { StreamPatch } from '../global-state.ts';
import { ByteWriter } from './byte-writer.ts';
import type { ByteRange } from '../reader.ts';

/** A part of a stream to write at `offset`: bytes at hand, or a stretch of the source to copy there. */
export type StreamPiece =
  | { readonly offset: number; readonly bytes: Uint8Array; readonly source?: never }
  | { readonly offset: number; readonly source: ByteRange; readonly bytes?: never };

/** Pieces that follow each other. Bytes and stretches that touch are joined. */
export class PieceList {
  readonly #pieces: StreamPiece[] = [];
  #writer: ByteWriter | undefined;
  #writerOffset = 0;
  #offset: number;

  constructor(offset: number) {
    this.#offset = offset;
  }

  /** Offset of the next piece. */
  get offset(): number {
    return this.#offset;
  }

  get list(): readonly StreamPiece[] {
    this.#flush();
    return this.#pieces;
  }

  /** The pieces since the last time, so that the list need not grow. */
  take(): readonly StreamPiece[] {
    this.#flush();
    return this.#pieces.splice(0);
  }

  bytes(bytes: Uint8Array): void {
    if (this.#writer === undefined) {
      this.#writer = new ByteWriter();
      this.#writerOffset = this.#offset;
    }
    this.#writer.bytes(bytes);
    this.#offset += bytes.length;
  }

  copy(source: ByteRange): void {
    this.#flush();
    const last = this.#pieces.at(-1);
    if (last?.source !== undefined && last.source.offset + last.source.length === source.offset) {
      const length = last.source.length + source.length;
      this.#pieces[this.#pieces.length - 1] = {
        offset: last.offset,
        source: { offset: last.source.offset, length },
      };
    } else {
      this.#pieces.push({ offset: this.#offset, source: { offset: source.offset, length: source.length } });
    }
    this.#offset += source.length;
  }

  /** Copies a stretch with some of its bytes replaced. Patches outside of it are somebody else's. */
  copyPatched(source: ByteRange, patches: readonly StreamPatch[]): void {
    const end = source.offset + source.length;
    let from = source.offset;
    for (const { offset, bytes } of patches) {
      if (offset < from || offset + bytes.length > end) continue;
      if (offset > from) this.copy({ offset: from, length: offset - from });
      this.bytes(bytes);
      from = offset + bytes.length;
    }
    if (from < end) this.copy({ offset: from, length: end - from });
  }

  copyAll(sources: readonly ByteRange[]): void {
    for (const source of sources) this.copy(source);
  }

  /** Joins the bytes of a list that has no stretches to copy. */
  joined(): Uint8Array {
    const writer = new ByteWriter();
    for (const { bytes } of this.list) if (bytes !== undefined) writer.bytes(bytes);
    return writer.finish();
  }

  #flush(): void {
    if (this.#writer === undefined) return;
    this.#pieces.push({ offset: this.#writerOffset, bytes: this.#writer.finish() });
    this.#writer = undefined;
  }
}
