import { doctorLines } from '../render/doctor.ts';
import { sessionOf, type Command } from '../command.ts';
import { OUTPUT_OPTIONS } from '../options/transfer-options.ts';

export const doctor: Command = {
  meta: {
    name: 'doctor',
    description:
      'Show what this machine, a directory and QEMU offer. Says what --engine auto and --direct-io auto would choose, and why.',
  },
  args: {
    dir: {
      type: 'string',
      valueHint: 'directory',
      description: 'Where snapshots are to be kept (default: the current directory)',
    },
    ...OUTPUT_OPTIONS,
  },
  examples: [
    'mapped-ram doctor --dir /var/lib/snapshots',
    'MAPPED_RAM_QEMU=/opt/qemu/bin/qemu mapped-ram doctor',
  ],
  run: async (context) => {
    const session = sessionOf(context);
    const { line, signal } = session;
    const api = await import('../../doctor/doctor.ts');
    const report = await api.doctor({ directory: line.value('dir'), signal });
    session.print(report, (style) => doctorLines(report, style));
  },
};
