import { isMemoryBackend } from './own-backends.ts';
import { type CommandLineOption, valuesOf } from './options.ts';

/** Lists the parts of a command line that rule out a restore, whatever the mode, in words. */
export function launchProblems(options: readonly CommandLineOption[]): readonly string[] {
  const has = (name: string): boolean => options.some((option) => option.name === name);
  const other = valuesOf(options, 'incoming').find((value) => value !== 'defer');
  return [
    ...(other === undefined ? [] : [`-incoming ${other}: the guest comes out of the snapshot`]),
    ...(has('loadvm') ? ['-loadvm: the guest comes out of the snapshot'] : []),
    ...(has('preconfig') ? ['-preconfig: the machine must be complete when QEMU answers'] : []),
    ...configProblems(options),
  ];
}

/** A file whose memory objects may have to be replaced is written out as options, which takes all of its sections. */
function configProblems(options: readonly CommandLineOption[]): readonly string[] {
  return options.flatMap((option) => {
    const { name, configFile } = option;
    if (name !== 'object' || configFile === undefined || !isMemoryBackend(option.members)) return [];
    const { path, others } = configFile;
    if (others.length === 0) return [];
    const id = option.members.get('id') ?? 'without a name';
    return [
      `-readconfig ${path}: memory object ${id} may have to be replaced: move it to the command line, for the sections ${others.join(', ')} of the file have no options that are known to do the same`,
    ];
  });
}
