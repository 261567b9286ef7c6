import { decodeConfiguration, decodeFileHeader } from '../configuration.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { StreamRecord } from '../records.ts';
import { StreamCursor } from './stream-cursor.ts';
import { StreamWalk } from './stream-walk.ts';

/** The place to begin at. */
export interface WalkOptions {
  /** Offset of the stream in the source, in bytes. Default 0. */
  readonly offset?: number;
  /**
   * The target page size in bytes, for a machine whose stream names it at its end only. Default what the stream says.
   * @internal
   */
  readonly targetPageSize?: number | undefined;
}

/**
 * Yields every record of a stream, in file order, with its absolute offset and length. The records cover the source
 * from `offset` to its end, bitmaps, padding and page areas of the mapped-ram form excepted. A section comes after the
 * records of its body. The walk's memory does not grow with the guest.
 *
 * Device sections are measured by the vmdescription at the end. Without a vmdescription, everything from the first of
 * them on is one `opaque` record, the last.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_BAD_MAGIC, ERR_MAPPED_RAM_UNSUPPORTED_VERSION, ERR_MAPPED_RAM_UNSUPPORTED,
 *   ERR_MAPPED_RAM_CORRUPT or ERR_MAPPED_RAM_TRUNCATED, after the records that could be read; and the reader's errors
 */
export async function* walkStream(
  reader: RandomAccessReader,
  options: WalkOptions = {},
): AsyncGenerator<StreamRecord, void, void> {
  for await (const batch of walkBatches(reader, options)) yield* batch;
}

/**
 * Walks like `walkStream`, several records at a time: page records are many.
 * @throws {MappedRamError} as `walkStream`
 */
export async function* walkBatches(
  reader: RandomAccessReader,
  options: WalkOptions = {},
): AsyncGenerator<readonly StreamRecord[], void, void> {
  const cursor = new StreamCursor(reader, options.offset ?? 0);
  const start = cursor.position;
  await decodeFileHeader(cursor);
  yield [{ type: 'header', offset: start, length: cursor.position - start }];
  const offset = cursor.position;
  const configuration = await decodeConfiguration(cursor);
  yield [{ type: 'configuration', offset, length: cursor.position - offset, configuration }];
  yield* new StreamWalk(cursor, configuration, options.targetPageSize).records();
}
