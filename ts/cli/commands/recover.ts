import { QmpClient } from '../../qmp/client.ts';
import { defineCommand, type Command } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { untilStopped } from '../interrupted.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import { PUSH_OPTIONS, postcopyOptions } from '../options/postcopy-options.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { memoryWords } from '../render/clones/restore.ts';

const args = {
  snapshot: {
    type: 'positional',
    required: true,
    description: 'The very snapshot that the guest was restored from: a path, or file:PATH[,offset=SIZE]',
  },
  qmp: {
    type: 'string',
    valueHint: 'socket',
    description: 'QMP of the QEMU that waits for its memory: a path, unix:PATH or tcp:HOST:PORT',
  },
  ...BASE_OPTION,
  ...PUSH_OPTIONS,
} as const satisfies OptionDefs;

export const recover: Command = defineCommand({
  name: 'recover',
  description:
    'Bring the rest of its memory to a guest that was restored with --mode lazy, when the process that did so is gone. It ends when the guest has all of it.',
  args,
  examples: ['mapped-ram recover guest.mr --qmp /run/guest.qmp'],
  run: async (session) => {
    const { line, signal } = session;
    const server = line.value('qmp');
    if (server === undefined) throw new UsageError('say which QEMU: --qmp <socket>');
    const api = await import('../../restore/postcopy/recover.ts');
    await using qmp = await QmpClient.connect(server, { signal, oob: true });
    const memory = await api.recover(qmp, sourceWithBase(line, line.value('snapshot')), {
      ...postcopyOptions(line),
      signal,
    });
    const report = await Promise.race([memory.complete, untilStopped(signal)]);
    if (report === undefined) await memory.release();
    else session.print(report, () => [memoryWords(report)]);
  },
});
