import { MappedRamError } from '../errors.ts';
import { assertWords } from '../io/option-words.ts';
import {
  DIRECT_IO,
  IO_ENGINES,
  type DirectIo,
  type IoEngine,
  type TransferOptions,
} from './transfer-options.ts';

interface EngineOptions {
  readonly channels: number | undefined;
  readonly queueDepth: number | undefined;
  readonly requestSize: number | undefined;
  readonly ioEngine: IoEngine | undefined;
  readonly directIo: DirectIo | undefined;
}

/**
 * Checks the words among a transfer's options.
 * @param prefix stands before the options' names in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertTransferWords(
  options: Pick<TransferOptions, 'ioEngine' | 'directIo'>,
  prefix?: string,
): void {
  assertWords(options, { ioEngine: IO_ENGINES, directIo: DIRECT_IO }, prefix);
}

/**
 * The options that the engine takes. The engine knows the ranges of numbers; this check refuses unknown words, and what
 * Node-API would bend into a number.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function engineOptions(options: TransferOptions): EngineOptions {
  assertTransferWords(options);
  return {
    channels: count('channels', options.channels),
    queueDepth: count('queueDepth', options.queueDepth),
    requestSize: count('requestSize', options.requestSize),
    ioEngine: options.ioEngine,
    directIo: options.directIo,
  };
}

function count(name: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value < 2 ** 32)) return value;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
    expected: 'a positive integer',
    found: value,
  });
}

/**
 * Removes the properties that are undefined. The binding's types tell a missing property from an undefined one; callers
 * need not.
 */
export function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only undefined properties were taken out
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** The engine's defaults (docs/api.md). */
const REQUEST_SIZE = 1_048_576;
const QUEUE_DEPTH = 16;

/**
 * Options for a transfer that makes digests of pieces: each request holds whole pieces. The default request grows to
 * one large piece. Fewer requests are in flight then, so that they take no more memory than usual.
 * @param pieceSize in bytes; undefined when there are no digests
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for an explicit request size that does not hold whole pieces
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
  // The engine refuses a value that is no size at all, because it knows the range.
  if (!Number.isInteger(requestSize) || requestSize % pieceSize === 0) return options;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_OUT_OF_RANGE',
    `the seal's pieces have ${pieceSize} bytes, and a request must hold whole ones: request size`,
    { expected: `a multiple of ${pieceSize}`, found: requestSize },
  );
}
