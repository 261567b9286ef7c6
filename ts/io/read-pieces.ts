import type { RandomAccessReader } from '../stream/reader.ts';
import type { StreamPiece } from '../stream/write/pieces.ts';

/** The most bytes that are read at once, and given out at once. */
const CHUNK = 1 << 20;

/**
 * The bytes of pieces that follow each other, in chunks of about a MiB. Stretches that lie side by side in the source
 * are read together, though headers come between them in the stream. Most pages of a block lie so.
 * @throws {MappedRamError} the reader's errors
 */
export async function* readPieces(
  pieces: readonly StreamPiece[],
  source: RandomAccessReader,
): AsyncGenerator<Uint8Array, void, void> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let read: { readonly start: number; readonly bytes: Uint8Array } = { start: 0, bytes: new Uint8Array() };
  for (const [index, piece] of pieces.entries()) {
    if (piece.bytes !== undefined) {
      parts.push(piece.bytes);
      length += piece.bytes.length;
      continue;
    }
    const end = piece.source.offset + piece.source.length;
    for (let offset = piece.source.offset; offset < end;) {
      if (offset < read.start || offset >= read.start + read.bytes.length) {
        read = { start: offset, bytes: await source.read(offset, stretch(pieces, index, offset)) };
      }
      const part = read.bytes.subarray(offset - read.start, end - read.start);
      parts.push(part);
      length += part.length;
      offset += part.length;
      if (length < CHUNK) continue;
      yield Buffer.concat(parts);
      parts = [];
      length = 0;
    }
  }
  if (length > 0) yield Buffer.concat(parts);
}

/** Counts the bytes that one read gives from `offset` on, for the piece `from` and those behind it. */
function stretch(pieces: readonly StreamPiece[], from: number, offset: number): number {
  let end = offset;
  for (let index = from; index < pieces.length && end - offset < CHUNK; index += 1) {
    const { source } = pieces[index] ?? {};
    if (source === undefined) continue;
    if (index !== from && source.offset !== end) break;
    end = source.offset + source.length;
  }
  return Math.min(end - offset, CHUNK);
}
