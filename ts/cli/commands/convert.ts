import { fstatSync } from 'node:fs';

import type { ConvertOptions, ConvertResult, ConvertSource, ConvertTarget } from '../../convert/options.ts';
import { keyValues } from '../render/columns.ts';
import type { CommandLine } from '../options/command-line.ts';
import { sessionOf, type Command } from '../command.ts';
import {
  DIRECT_IO_OPTION,
  OUTPUT_OPTIONS,
  TRANSFER_OPTIONS,
  transferOptions,
} from '../options/transfer-options.ts';
import { formatDuration, formatOffset, formatRate, formatSize, printable } from '../render/format.ts';
import { STORE_ZERO_PAGES, storeZeroPages } from '../options/store-zero-pages.ts';
import type { Style } from '../render/style.ts';
import { transferLines } from '../render/transfer.ts';
import { UsageError } from '../usage-error.ts';

const FORMS = ['mapped-ram', 'stream'] as const;
/** Stands for standard input and output. */
const PIPE = '-';

export const convert: Command = {
  meta: {
    name: 'convert',
    description:
      'Turn a plain migration stream into a mapped-ram file or back. Also writes a mapped-ram file anew, at another offset and without pages that are all zero, and takes either out of a libvirt save image.',
  },
  args: {
    source: {
      type: 'positional',
      required: true,
      description: 'What to convert: a path, file:PATH[,offset=SIZE], or - for a plain stream on stdin',
    },
    target: {
      type: 'positional',
      required: true,
      description:
        'Where the result goes: a path, file:PATH[,offset=SIZE], or - for a plain stream on stdout',
    },
    to: { type: 'enum', options: [...FORMS], description: 'Form of the result (default: mapped-ram)' },
    force: { type: 'boolean', description: 'Replace an existing file' },
    'store-zero-pages': STORE_ZERO_PAGES,
    ...TRANSFER_OPTIONS,
    'direct-io': {
      ...DIRECT_IO_OPTION,
      description:
        'Whether the result bypasses the page cache, which the source never does; only auto falls back (default: auto)',
    },
    ...OUTPUT_OPTIONS,
  },
  examples: [
    'mapped-ram convert guest.stream guest.mr',
    'mapped-ram convert guest.mr guest.stream --to stream',
    'mapped-ram convert guest.mr file:container,offset=64K',
    'zstd -dc guest.stream.zst | mapped-ram convert - guest.mr',
  ],
  run: async (context) => {
    const session = sessionOf(context);
    const { line, signal } = session;
    const options: ConvertOptions = {
      to: FORMS.find((form) => form === line.value('to')),
      overwrite: line.flag('force'),
      storeZeroPages: storeZeroPages(line),
      ...transferOptions(line),
      signal,
    };
    const target = targetOf(line);
    const api = await import('../../convert/convert.ts');
    using bar = session.progressBar('converting');
    const result = await api.convert(sourceOf(line), target, { ...options, onProgress: bar.update });
    bar[Symbol.dispose]();
    if (typeof target === 'string') session.print(result, (style) => convertLines(result, style));
    else session.note((style) => convertLines(result, style).join('\n'));
  },
};

function sourceOf(line: CommandLine): ConvertSource {
  const source = line.required('source');
  if (source !== PIPE) return source;
  // A file that the shell has opened can be read at offsets.
  return fstatSync(0).isFile() ? { fd: 0 } : process.stdin;
}

/** @throws {UsageError} when stdout would be two things */
function targetOf(line: CommandLine): ConvertTarget {
  const target = line.required('target');
  if (target !== PIPE) return target;
  if (line.value('to') !== 'stream') throw new UsageError('only a stream goes to stdout: add --to stream');
  if (line.flag('json')) throw new UsageError('--json prints on stdout, where the stream goes');
  if (process.stdout.isTTY) throw new UsageError('stdout is a terminal: send the stream to a file or a pipe');
  return process.stdout;
}

function convertLines(result: ConvertResult, style: Style): readonly string[] {
  const { path, offset, size, source, from, to, blocks, bytes, dataBytes, transfer, elapsedMs } = result;
  return keyValues(
    [
      ['source', `${printable(source.path)}${at(source.offset)}, ${nameOf(from)}`],
      ['result', `${printable(path)}${at(offset)}, ${nameOf(to)}, apparent size ${formatSize(size)}`],
      ['blocks', blocks.map(({ id, length }) => `${id} (${formatSize(length)})`).join(', ')],
      ...(transfer === undefined
        ? [
            ['memory', formatSize(bytes)] as const,
            [
              'pages',
              `${formatSize(dataBytes)}, the other ${formatSize(bytes - dataBytes)} are zero pages`,
            ] as const,
          ]
        : transferLines(transfer, 'written')),
      ['total', `${formatDuration(elapsedMs)}, ${formatRate(dataBytes, elapsedMs)}`],
    ],
    style,
  );
}

function at(offset: number): string {
  return offset > 0 ? ` at ${formatOffset(offset)}` : '';
}

function nameOf(form: ConvertResult['to']): string {
  return form === 'stream' ? 'plain stream' : form;
}
