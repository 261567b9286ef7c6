import type { RandomAccessReader } from '../stream/reader.ts';
import type { StreamPiece } from '../stream/write/pieces.ts';
import type { ByteOutput } from './output.ts';

const CHUNK = 1 << 20;
/** Small pieces that follow each other go to the file together. */
const BATCH = 1 << 18;

/**
 * Writes pieces of a stream: bytes at hand, and stretches that are copied from `source`. The pieces are small things:
 * headers, device state, small blocks. Memory does not grow with the pieces' size.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; the reader's errors; the signal's reason
 */
export async function writePieces(
  output: ByteOutput,
  pieces: Iterable<StreamPiece> | AsyncIterable<StreamPiece>,
  source: RandomAccessReader,
  signal: AbortSignal | undefined,
): Promise<void> {
  let batch: Uint8Array[] = [];
  let batchOffset = 0;
  let batchLength = 0;
  const flush = async (): Promise<void> => {
    if (batch.length > 0) await output.writeAt(Buffer.concat(batch), batchOffset);
    batch = [];
    batchLength = 0;
  };
  const add = async (offset: number, bytes: Uint8Array): Promise<void> => {
    if (offset !== batchOffset + batchLength || batchLength >= BATCH) await flush();
    if (batchLength === 0) batchOffset = offset;
    batch.push(bytes);
    batchLength += bytes.length;
  };
  for await (const piece of pieces) {
    if (piece.bytes !== undefined) {
      await add(piece.offset, piece.bytes);
      continue;
    }
    for (let done = 0; done < piece.source.length; done += CHUNK) {
      signal?.throwIfAborted();
      const length = Math.min(CHUNK, piece.source.length - done);
      await add(piece.offset + done, await source.read(piece.source.offset + done, length));
    }
  }
  await flush();
}
