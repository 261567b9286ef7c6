import {
  DIRECT_IO,
  IO_ENGINES,
  type DirectIo,
  type IoEngine,
  type TransferOptions,
} from '../../engine/transfer-options.ts';
import type { PackOptions } from '../../pack/pack-options.ts';
import { UsageError } from '../exit-codes.ts';
import type { CommandLine } from './command-line.ts';
import { choice, type WordOption, type OptionDef } from './option-def.ts';
import { parseSize } from './parse-size.ts';

const group = 'Moving pages';

/** The options of the commands that move pages. */
export const TRANSFER_OPTIONS: Readonly<Record<'channels' | 'queue-depth' | 'request-size', OptionDef>> & {
  readonly 'direct-io': OptionDef & WordOption<DirectIo>;
  readonly 'io-engine': OptionDef & WordOption<IoEngine>;
} = {
  channels: {
    type: 'string',
    valueHint: 'N',
    description: 'Threads that work at once, 1 to 64 (default: what suits the I/O engine and the machine)',
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
  'direct-io': {
    ...choice(...DIRECT_IO),
    description: 'Whether to bypass the page cache; only auto falls back (default: auto)',
    group,
  },
  'io-engine': {
    ...choice(...IO_ENGINES),
    description: 'What carries the requests out; only auto falls back (default: auto)',
    group,
  },
};

const PAGE = 4096;
const MAX_REQUEST = 16 * 1024 * 1024;

type TransferLine = CommandLine<typeof TRANSFER_OPTIONS>;

/** @throws {UsageError} */
export function transferOptions(line: TransferLine): TransferOptions {
  return {
    channels: count(line, 'channels', 64),
    queueDepth: count(line, 'queue-depth', 256),
    requestSize: requestSize(line),
    directIo: line.value('direct-io'),
    ioEngine: line.value('io-engine'),
  };
}

function count(line: TransferLine, name: 'channels' | 'queue-depth', max: number): number | undefined {
  const text = line.value(name);
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1 && value <= max) return value;
  throw new UsageError(`--${name} must be a whole number from 1 to ${max}, not '${text}'`);
}

function requestSize(line: TransferLine): number | undefined {
  const text = line.value('request-size');
  if (text === undefined) return undefined;
  const size = parseSize('--request-size', text);
  if (size >= PAGE && size <= MAX_REQUEST && size % PAGE === 0) return size;
  throw new UsageError(`--request-size must be a multiple of 4KiB, from 4KiB to 16MiB, not '${text}'`);
}

export const STORE_ZERO_PAGES: OptionDef = {
  type: 'string',
  valueHint: 'firmware|all|ids',
  description:
    'Blocks whose zero pages are written too, because a restore does not find their memory empty; ids with commas between them (default: firmware)',
};

export function storeZeroPages(
  line: CommandLine<{ readonly 'store-zero-pages': OptionDef }>,
): PackOptions['storeZeroPages'] {
  const which = line.value('store-zero-pages');
  if (which === undefined || which === 'firmware' || which === 'all') return which;
  return which.split(',');
}
