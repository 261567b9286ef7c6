import { type CommandLineOption, valuesOf } from './options.ts';

/** Lists the parts of a command line that rule out a restore, whatever the mode, in words. */
export function launchProblems(options: readonly CommandLineOption[]): readonly string[] {
  const has = (name: string): boolean => options.some((option) => option.name === name);
  const other = valuesOf(options, 'incoming').find((value) => value !== 'defer');
  return [
    ...(other === undefined ? [] : [`-incoming ${other}: the guest comes out of the snapshot`]),
    ...(has('loadvm') ? ['-loadvm: the guest comes out of the snapshot'] : []),
    ...(has('preconfig') ? ['-preconfig: the machine must be complete when QEMU answers'] : []),
  ];
}
