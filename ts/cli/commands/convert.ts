import { fstatSync } from 'node:fs';

import {
  RESULT_FORMS,
  type ConvertOptions,
  type ConvertResult,
  type ConvertSource,
  type ConvertTarget,
} from '../../convert/options.ts';
import { defineCommand, type Command } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import { choice, type OptionDefs } from '../options/option-def.ts';
import {
  STORE_ZERO_PAGES,
  storeZeroPages,
  TRANSFER_OPTIONS,
  transferOptions,
} from '../options/transfer-options.ts';
import { keyValues } from '../render/columns.ts';
import { formatDuration, formatOffset, formatRate, formatSize, printable } from '../render/format.ts';
import { withBar } from '../render/progress-bar.ts';
import type { Style } from '../render/style.ts';
import { transferLines } from '../render/transfer.ts';
import type { Session } from '../session.ts';

/** The name of standard input and output. */
const PIPE = '-';

const args = {
  source: {
    type: 'positional',
    required: true,
    description: 'What to convert: a path, file:PATH[,offset=SIZE], or - for a plain stream on stdin',
  },
  target: {
    type: 'positional',
    required: true,
    description: 'Where the result goes: a path, file:PATH[,offset=SIZE], or - for a plain stream on stdout',
  },
  to: {
    ...choice(...RESULT_FORMS),
    description: 'Form of the result; libvirt is a save image for virsh restore (default: mapped-ram)',
  },
  xml: {
    type: 'string',
    valueHint: 'file',
    description:
      "With --to libvirt: the domain's XML, or a save image that has it (default: the image that the source is)",
  },
  ...BASE_OPTION,
  force: { type: 'boolean', description: 'Replace an existing file' },
  'store-zero-pages': STORE_ZERO_PAGES,
  ...TRANSFER_OPTIONS,
  'direct-io': {
    ...TRANSFER_OPTIONS['direct-io'],
    description:
      'Whether the result bypasses the page cache, which the source never does; only auto falls back (default: auto)',
  },
} as const satisfies OptionDefs;
type Line = Session<typeof args>['line'];

export const convert: Command = defineCommand({
  name: 'convert',
  description:
    'Turn a plain migration stream into a mapped-ram file or back. It also writes a mapped-ram file anew, at another offset and without pages that are all zero, and takes either form out of a libvirt save image.',
  args,
  examples: [
    'mapped-ram convert guest.stream guest.mr',
    'mapped-ram convert guest.mr guest.stream --to stream',
    'mapped-ram convert guest.mr guest.save --to libvirt --xml guest.xml',
    'mapped-ram convert guest.mr file:container,offset=64K',
    'zstd -dc guest.stream.zst | mapped-ram convert - guest.mr',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const options: ConvertOptions = {
      to: line.value('to'),
      xml: line.value('xml'),
      overwrite: line.flag('force'),
      storeZeroPages: storeZeroPages(line),
      ...transferOptions(line),
      signal,
    };
    const target = targetOf(line);
    const api = await import('../../convert/convert.ts');
    const result = await withBar(session, 'converting', (onProgress) =>
      api.convert(sourceOf(line), target, { ...options, onProgress }),
    );
    if (typeof target === 'string') session.print(result, (style) => convertLines(result, style));
    else session.note((style) => convertLines(result, style).join('\n'));
  },
});

function sourceOf(line: Line): ConvertSource {
  const source = line.value('source');
  if (source !== PIPE) return sourceWithBase(line, source);
  // A file that the shell has opened can be read at offsets.
  return fstatSync(0).isFile() ? { fd: 0 } : process.stdin;
}

/** @throws {UsageError} when stdout would carry two things */
function targetOf(line: Line): ConvertTarget {
  const target = line.value('target');
  if (target !== PIPE) return target;
  if ((line.value('to') ?? 'mapped-ram') === 'mapped-ram') {
    throw new UsageError('only a stream goes to stdout: add --to stream');
  }
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
      ['guest', `${result.runState ?? 'what it did is not known'} when it was saved`],
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
  if (form === 'libvirt') return 'libvirt save image with a plain stream';
  return form === 'stream' ? 'plain stream' : form;
}
