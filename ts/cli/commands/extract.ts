import type { ExtractOptions, ExtractResult } from '../../extract/extract.ts';
import { defineCommand, type Command } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import { choice, type OptionDefs } from '../options/option-def.ts';
import { parseSize } from '../options/parse-size.ts';
import { TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { keyValues, table } from '../render/columns.ts';
import { formatDuration, formatOffset, formatSize, printable } from '../render/format.ts';
import { withBar } from '../render/progress-bar.ts';
import type { Style } from '../render/style.ts';
import { transferLines } from '../render/transfer.ts';
import type { Session } from '../session.ts';

const group = 'Guest-physical addresses that the file does not tell';

const args = {
  uri: {
    type: 'positional',
    required: true,
    description: 'The snapshot: a path, or file:PATH[,offset=SIZE]',
  },
  format: {
    ...choice('raw', 'elf'),
    required: true,
    description: 'Memory as it is, or a core file',
  },
  output: {
    type: 'string',
    alias: 'o',
    valueHint: 'file',
    required: true,
    description: 'The file to write',
  },
  block: {
    type: 'string',
    valueHint: 'id',
    description: 'With raw: only this block (default: all, at guest-physical addresses)',
  },
  ...BASE_OPTION,
  force: { type: 'boolean', description: 'Replace an existing file' },
  'ram-blocks': {
    type: 'string',
    valueHint: 'ids',
    description:
      'The blocks that are RAM, in the order of the NUMA nodes, with commas between them (default: by name, length and the ACPI tables)',
    group,
  },
  'low-memory': {
    type: 'string',
    valueHint: 'S',
    description:
      'x86: where RAM below 4 GiB ends (default: what the ACPI tables or the CMOS memory say, else as without max-ram-below-4g)',
    group,
  },
  'high-memory': {
    type: 'string',
    valueHint: 'S',
    description: 'x86: where the other RAM goes on (default: what the ACPI tables say, else 4GiB)',
    group,
  },
  ...TRANSFER_OPTIONS,
} as const satisfies OptionDefs;
type Line = Session<typeof args>['line'];

export const extract: Command = defineCommand({
  name: 'extract',
  description:
    "Write a snapshot's memory to a file. It is a sparse file: raw, of one block or of the guest-physical address space, or an ELF core for gdb and crash with the registers of the CPUs. It appears when it is complete, not before.",
  args,
  examples: [
    'mapped-ram extract guest.mr --format elf -o guest.core',
    'mapped-ram extract guest.mr --format raw --block pc.ram -o pc.ram',
    'gdb --core guest.core   # its addresses are guest-physical',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const options = extractOptions(line);
    const api = await import('../../extract/extract.ts');
    const result = await withBar(session, 'extracting', (onProgress) =>
      api.extract(sourceWithBase(line, line.value('uri')), line.value('output'), {
        ...options,
        signal,
        onProgress,
      }),
    );
    session.print(result, (style) => extractLines(result, style));
  },
});

function extractOptions(line: Line): ExtractOptions {
  const [format, block] = [line.value('format'), line.value('block')];
  const physical = (['ram-blocks', 'low-memory', 'high-memory'] as const).find(
    (name) => line.value(name) !== undefined,
  );
  if (block !== undefined && format === 'elf') {
    throw new UsageError('--block is for --format raw: a core file has all memory');
  }
  if (block !== undefined && physical !== undefined) {
    throw new UsageError(`--${physical} is about guest-physical addresses, which --block does not use`);
  }
  return {
    format,
    block,
    ramBlocks: line.value('ram-blocks')?.split(','),
    lowMemory: sizeOf(line, 'low-memory'),
    highMemory: sizeOf(line, 'high-memory'),
    overwrite: line.flag('force'),
    ...transferOptions(line),
  };
}

function sizeOf(line: Line, name: 'low-memory' | 'high-memory'): number | undefined {
  const text = line.value(name);
  return text === undefined ? undefined : parseSize(`--${name}`, text);
}

function extractLines(result: ExtractResult, style: Style): readonly string[] {
  const { output, format, size, ranges, assumptions, cpus, transfer, elapsedMs } = result;
  return [
    ...keyValues(
      [
        ['extracted', `${printable(output)}, apparent size ${formatSize(size)}`],
        ...(format === 'elf' ? [['registers', `of ${cpus === 1 ? '1 CPU' : `${cpus} CPUs`}`] as const] : []),
        ...(transfer === undefined ? [] : transferLines(transfer, 'read')),
        ['total', formatDuration(elapsedMs)],
      ],
      style,
    ),
    ...assumptions.map((text) => `${style('yellow', 'assumed')}: ${printable(text)}`),
    '',
    ...table(
      [
        { title: 'block' },
        { title: 'from', align: 'right' },
        { title: 'size', align: 'right' },
        { title: 'guest-physical', align: 'right' },
        { title: 'in the file', align: 'right' },
      ],
      ranges.map(({ block, offset, length, address, fileOffset }) => [
        block,
        formatOffset(offset),
        formatSize(length),
        address === undefined ? '' : formatOffset(address),
        formatOffset(fileOffset),
      ]),
      style,
    ),
  ];
}
