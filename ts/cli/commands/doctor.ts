import { defineCommand, type Command } from '../command.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { doctorLines } from '../render/doctor.ts';

const args = {
  dir: {
    type: 'string',
    valueHint: 'directory',
    description: 'Where snapshots are to be kept (default: the current directory)',
  },
} as const satisfies OptionDefs;

export const doctor: Command = defineCommand({
  name: 'doctor',
  description:
    'Show what this machine, a directory and QEMU offer. It says what --io-engine auto and --direct-io auto would choose, and why.',
  args,
  examples: [
    'mapped-ram doctor --dir /var/lib/snapshots',
    'MAPPED_RAM_QEMU=/opt/qemu/bin/qemu mapped-ram doctor',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const api = await import('../../doctor/doctor.ts');
    const report = await api.doctor({ directory: line.value('dir'), signal });
    session.print(report, (style) => doctorLines(report, style));
  },
});
