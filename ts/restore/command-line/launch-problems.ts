import type { RestoreMode } from '../../restore/modes/modes.ts';
import { type CommandLineOption, valuesOf } from './options.ts';
import type { PlannedBackend } from './memory-plan.ts';
import { parseOptionValue } from './option-value.ts';

/** What in a command line a mode cannot handle, in words. */
export function launchProblems(
  mode: RestoreMode,
  options: readonly CommandLineOption[],
  backends: readonly PlannedBackend[],
): readonly string[] {
  const has = (name: string): boolean => options.some((option) => option.name === name);
  const problems: string[] = [];
  const other = valuesOf(options, 'incoming').find((value) => value !== 'defer');
  if (other !== undefined) problems.push(`-incoming ${other}: the guest comes out of the snapshot`);
  if (has('loadvm')) problems.push('-loadvm: the guest comes out of the snapshot');
  if (has('preconfig')) problems.push('-preconfig: the machine must be complete when QEMU answers');
  if (mode === 'eager') return problems;
  if (backends.length === 0) {
    problems.push('no block of the snapshot is memory that could be mapped: use mode eager');
  }
  for (const { block } of backends.filter((backend) => backend.block.skipped)) {
    problems.push(`block ${block.id} was saved without its pages (x-ignore-shared)`);
  }
  if (has('mem-path')) problems.push('-mem-path and memory backends exclude each other: leave it out');
  if (mode === 'instant') problems.push(...instantProblems(options));
  return problems;
}

/** The snapshot is mapped privately, read-only, page by page as the guest touches it. */
function instantProblems(options: readonly CommandLineOption[]): readonly string[] {
  const problems: string[] = [];
  if (options.some(({ name }) => name === 'mem-prealloc')) {
    problems.push('-mem-prealloc would copy the whole memory: leave it out, or use mode preload');
  }
  const locks = valuesOf(options, 'overcommit').map((value) => parseOptionValue(value, '').get('mem-lock'));
  if (locks.includes('on')) {
    problems.push(
      '-overcommit mem-lock=on would copy the whole memory: use mem-lock=on-fault, or mode preload',
    );
  }
  const drivers = [
    ...valuesOf(options, 'device').map((value) => parseOptionValue(value, 'driver').get('driver') ?? ''),
    ...valuesOf(options, 'netdev').map((value) => parseOptionValue(value, 'type').get('type') ?? ''),
  ];
  for (const driver of drivers) {
    if (driver.startsWith('vhost-user')) problems.push(`${driver} needs shared memory: use mode preload`);
    if (driver.startsWith('virtio-mem')) {
      problems.push(`${driver} gives memory back, which a read-only file does not allow: use mode eager`);
    }
  }
  return problems;
}
