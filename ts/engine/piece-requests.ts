import { MappedRamError } from '../errors.ts';
import type { TransferOptions } from './transfer-options.ts';

/** The engine's defaults (docs/api.md). */
const REQUEST_SIZE = 1_048_576;
const QUEUE_DEPTH = 16;

/**
 * Options for a transfer that makes digests of pieces: each request holds whole ones. By default it grows to a large
 * piece, and fewer are in flight, so that they take no more memory than usual.
 * @param pieceSize in bytes; undefined when there are no digests
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for an explicit request size that does not go with it
 */
export function pieceRequests<Options extends Pick<TransferOptions, 'requestSize' | 'queueDepth'>>(
  options: Options,
  pieceSize: number | undefined,
): Options {
  const { requestSize, queueDepth } = options;
  if (pieceSize === undefined) return options;
  if (requestSize === undefined) {
    if (pieceSize <= REQUEST_SIZE) return options;
    const inFlight = Math.max(1, Math.floor((QUEUE_DEPTH * REQUEST_SIZE) / pieceSize));
    return { ...options, requestSize: pieceSize, queueDepth: queueDepth ?? inFlight };
  }
  // What is no size at all is refused as such, by who knows the range.
  if (!Number.isInteger(requestSize) || requestSize % pieceSize === 0) return options;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_OUT_OF_RANGE',
    `the seal's pieces have ${pieceSize} bytes, and a request must hold whole ones: request size`,
    { expected: `a multiple of ${pieceSize}`, found: requestSize },
  );
}
