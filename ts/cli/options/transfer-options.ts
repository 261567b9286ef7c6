import type { DirectIo, EngineChoice, TransferOptions } from '../../engine/transfer-options.ts';
import type { CommandLine } from './command-line.ts';
import type { OptionDef, OptionDefs } from '../command.ts';
import { parseSize } from './parse-size.ts';
import { UsageError } from '../usage-error.ts';

/** Every command has these. */
export const OUTPUT_OPTIONS: OptionDefs = {
  json: { type: 'boolean', description: 'Print one JSON object on stdout', group: 'Output' },
  quiet: { type: 'boolean', description: 'Print nothing but errors', group: 'Output' },
  verbose: { type: 'boolean', description: 'Show what lies beneath an error', group: 'Output' },
  help: { type: 'boolean', alias: 'h', description: 'Show this', group: 'Output' },
};

const group = 'Moving pages';

export const DIRECT_IO_OPTION: OptionDef = {
  type: 'enum',
  options: ['auto', 'on', 'off'],
  description: 'Whether to bypass the page cache; only auto falls back (default: auto)',
  group,
};

/** Of the commands that move pages. */
export const TRANSFER_OPTIONS: OptionDefs = {
  channels: {
    type: 'string',
    valueHint: 'N',
    description: 'Threads that work at once, 1 to 64 (default: what suits the engine and the machine)',
    group,
  },
  'queue-depth': {
    type: 'string',
    valueHint: 'N',
    description: 'Requests in flight on each channel, 1 to 256 (default: 16)',
    group,
  },
  'request-size': {
    type: 'string',
    valueHint: 'S',
    description: 'Most bytes that one request moves, 4KiB to 16MiB (default: 1MiB)',
    group,
  },
  'direct-io': DIRECT_IO_OPTION,
  engine: {
    type: 'enum',
    options: ['auto', 'io_uring', 'threads'],
    description: 'Who carries the requests out; only auto falls back (default: auto)',
    group,
  },
};

const DIRECT_IO: readonly DirectIo[] = ['auto', 'on', 'off'];
const ENGINES: readonly EngineChoice[] = ['auto', 'io_uring', 'threads'];
const PAGE = 4096;
const MAX_REQUEST = 16 * 1024 * 1024;

/** @throws {UsageError} */
export function transferOptions(line: CommandLine): TransferOptions {
  return {
    channels: count(line, 'channels', 64),
    queueDepth: count(line, 'queue-depth', 256),
    requestSize: requestSize(line),
    directIo: DIRECT_IO.find((choice) => choice === line.value('direct-io')),
    engine: ENGINES.find((choice) => choice === line.value('engine')),
  };
}

function count(line: CommandLine, name: string, max: number): number | undefined {
  const text = line.value(name);
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1 && value <= max) return value;
  throw new UsageError(`--${name} must be a whole number from 1 to ${max}, not '${text}'`);
}

function requestSize(line: CommandLine): number | undefined {
  const text = line.value('request-size');
  if (text === undefined) return undefined;
  const size = parseSize('--request-size', text);
  if (size >= PAGE && size <= MAX_REQUEST && size % PAGE === 0) return size;
  throw new UsageError(`--request-size must be a multiple of 4KiB, from 4KiB to 16MiB, not '${text}'`);
}
