import { FLATTEN_FORMS, type FlattenResult } from '../../convert/flatten-options.ts';
import { defineCommand, type Command } from '../command.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import { choice, type OptionDefs } from '../options/option-def.ts';
import { keyValues } from '../render/columns.ts';
import { formatDuration, formatSize, printable } from '../render/format.ts';
import { withBar } from '../render/progress-bar.ts';
import type { Style } from '../render/style.ts';

const args = {
  delta: {
    type: 'positional',
    required: true,
    description: 'The delta: a path, or file:PATH[,offset=SIZE]',
  },
  target: {
    type: 'positional',
    required: true,
    description: 'Where the whole snapshot goes: a path, or file:PATH[,offset=SIZE]',
  },
  ...BASE_OPTION,
  form: {
    ...choice(...FLATTEN_FORMS),
    description: 'Whether the result shares the blocks of the base; only auto falls back (default: auto)',
  },
  force: { type: 'boolean', description: 'Replace an existing file' },
} as const satisfies OptionDefs;

export const flatten: Command = defineCommand({
  name: 'flatten',
  description:
    'Make a whole snapshot of a delta and its base. On XFS and btrfs the result shares the blocks of the base, and only what has changed is written.',
  args,
  examples: [
    'mapped-ram flatten guest.delta guest.mr',
    'mapped-ram flatten guest.delta guest.mr --form copy',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const options = { form: line.value('form'), overwrite: line.flag('force'), signal };
    const source = sourceWithBase(line, line.value('delta'));
    const api = await import('../../convert/flatten.ts');
    const result = await withBar(session, 'flattening', (onProgress) =>
      api.flatten(source, line.value('target'), { ...options, onProgress }),
    );
    session.print(result, (style) => flattenLines(result, style));
  },
});

function flattenLines(result: FlattenResult, style: Style): readonly string[] {
  const { path, size, source, form, why, dataBytes, elapsedMs } = result;
  return keyValues(
    [
      ['delta', printable(source.path)],
      ['base', printable(source.base)],
      ['result', `${printable(path)}, apparent size ${formatSize(size)}`],
      ['form', `${form} (${printable(why)})`],
      ['pages', `${formatSize(dataBytes)} written`],
      ['total', formatDuration(elapsedMs)],
    ],
    style,
  );
}
