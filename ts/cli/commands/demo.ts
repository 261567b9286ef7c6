import { defineCommand, type Command } from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { parseSize } from '../options/parse-size.ts';
import { demoLines, StepLines } from '../render/demo.ts';

const MIB = 1024 * 1024;
const SMALLEST = 64 * MIB;

const args = {
  dir: {
    type: 'string',
    valueHint: 'directory',
    description: 'Where the snapshot is written (default: the directory for temporary files)',
  },
  size: {
    type: 'string',
    valueHint: 'S',
    description: "The guest's memory, at least 64MiB (default: 1GiB, or what there is room for)",
  },
  keep: { type: 'boolean', description: 'Leave the snapshot there to look at' },
} as const satisfies OptionDefs;

export const demo: Command = defineCommand({
  name: 'demo',
  description:
    'Save and restore a guest, and compare every byte. It is a real guest where there is QEMU 9.0 or later, else synthetic memory. Nothing is left behind.',
  args,
  examples: ['mapped-ram demo', 'mapped-ram demo --dir /mnt/nvme --size 4GiB --keep'],
  run: async (session) => {
    const { line, signal } = session;
    const size = sizeOf(line.value('size'));
    using steps = new StepLines(session);
    const api = await import('../../demo/demo.ts');
    const result = await api.demo({
      directory: line.value('dir'),
      size,
      keep: line.flag('keep'),
      signal,
      onStep: steps.update,
    });
    session.print(result, (style) => demoLines(result, style), result.verified ? EXIT.done : EXIT.failed);
  },
});

function sizeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const size = parseSize('--size', text);
  if (size >= SMALLEST && size % MIB === 0) return size;
  throw new UsageError(`--size must be whole MiB, at least 64MiB, not '${text}'`);
}
