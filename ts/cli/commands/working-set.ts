import { QmpClient } from '../../qmp/client.ts';
import type { RecordedWorkingSet } from '../../working-set/record-working-set.ts';
import { defineCommand, type Command } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { keyValues } from '../render/columns.ts';
import { formatSize, printable } from '../render/format.ts';
import type { Style } from '../render/style.ts';

const args = {
  qmp: {
    type: 'positional',
    required: true,
    description: "The QMP server of the guest's QEMU: a path, unix:PATH or tcp:HOST:PORT",
  },
  uri: {
    type: 'positional',
    required: true,
    description: 'The snapshot that the guest was restored from: a path, or file:PATH[,offset=SIZE]',
  },
  wait: {
    type: 'string',
    valueHint: 'ms',
    description: 'Milliseconds for which the guest goes on before the look (default: 0)',
  },
  output: {
    type: 'string',
    alias: 'o',
    valueHint: 'file',
    description: 'The file to write (default: the path of the snapshot and .working-set)',
  },
  ...BASE_OPTION,
} as const satisfies OptionDefs;

export const workingSet: Command = defineCommand({
  name: 'working-set',
  description:
    'Note which pages of a snapshot a guest has touched since restore --mode instant. The next restore, instant or lazy, reads them ahead while QEMU starts.',
  args,
  examples: [
    'mapped-ram working-set /run/guest.qmp guest.mr',
    'mapped-ram working-set /run/guest.qmp guest.mr --wait 2000',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const after = milliseconds(line.value('wait'));
    const source = sourceWithBase(line, line.value('uri'));
    const { recordWorkingSet } = await import('../../working-set/record-working-set.ts');
    await using qmp = await QmpClient.connect(line.value('qmp'), { signal });
    const recorded = await recordWorkingSet(qmp, source, { after, path: line.value('output'), signal });
    session.print(recorded, (style) => recordedLines(recorded, style));
  },
});

function milliseconds(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`--wait must be a whole number of milliseconds, not '${text}'`);
}

function recordedLines({ path, bytes, blocks }: RecordedWorkingSet, style: Style): readonly string[] {
  return keyValues(
    [
      ['working set', printable(path)],
      ['pages', `${formatSize(bytes)} of the snapshot, in ${printable(blocks.join(', '))}`],
    ],
    style,
  );
}
