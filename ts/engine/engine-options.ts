import { MappedRamError } from '../errors.ts';
import type { DirectIo, EngineChoice, TransferOptions } from './transfer-options.ts';

interface EngineOptions {
  readonly channels: number | undefined;
  readonly queueDepth: number | undefined;
  readonly requestSize: number | undefined;
  readonly engine: EngineChoice | undefined;
  readonly directIo: DirectIo | undefined;
}

/** Of the options what the engine takes. It knows the ranges; here only what Node-API would bend into a number is refused. */
export function engineOptions(options: TransferOptions): EngineOptions {
  return {
    channels: count('channels', options.channels),
    queueDepth: count('queueDepth', options.queueDepth),
    requestSize: count('requestSize', options.requestSize),
    engine: options.engine,
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
