import type { MappedRamBlock } from '../../stream/stream-index.ts';
import type { MemoryPlan } from '../command-line/memory-plan.ts';
import type { CommandLineOption } from '../command-line/options.ts';
import type { Possibility } from '../../negotiate/host-facts.ts';
import { skippedProblem } from '../preflight/memory.ts';

// The modes that share this file have memory in place before QEMU loads the rest as a plain stream.

/** The reason why QEMU reads a stream. */
export const IN_PLACE_WHY = 'the memory is in place';

/** Lists the parts of a command line that keep memory backends from bringing the memory. */
export function backendProblems(
  options: readonly CommandLineOption[],
  { backends, open }: MemoryPlan,
): readonly string[] {
  const problems: string[] = [];
  if (open !== undefined) problems.push(open);
  for (const { block } of backends.filter((backend) => backend.block.skipped)) {
    problems.push(skippedProblem(block));
  }
  if (options.some(({ name }) => name === 'mem-path')) {
    problems.push('-mem-path and memory backends exclude each other: leave it out');
  }
  return problems;
}

export function noBackend({ id }: MappedRamBlock): string {
  return `block ${id} has no memory backend, so nothing can be in place`;
}

/** Other processes, QEMU among them, find files without names through /proc. */
export function needsProc(platform: NodeJS.Platform, why: string): Possibility {
  return platform === 'linux'
    ? { possible: true, why }
    : { possible: false, why: 'files are handed to QEMU through /proc, which only Linux has' };
}
