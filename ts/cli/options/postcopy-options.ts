import { PUSH_PACES, type PushPace } from '../../engine/serve/page-server.ts';
import type { PostcopyOptions } from '../../restore/postcopy/postcopy-options.ts';
import type { MemoryKind } from '../../restore/command-line/memory-kind.ts';
import { UsageError } from '../exit-codes.ts';
import type { CommandLine } from './command-line.ts';
import { choice, type OptionDef, type WordOption } from './option-def.ts';
import { parseSize } from './parse-size.ts';

const group = 'Mode lazy';

/** The options about pages that nobody waits for. */
export const PUSH_OPTIONS: Readonly<Record<'push-bandwidth', OptionDef>> & {
  readonly push: OptionDef & WordOption<PushPace>;
} = {
  push: {
    ...choice(...PUSH_PACES),
    description:
      'The pace of pages that nobody waits for: as fast as QEMU takes them, small portions and none right behind a page that the guest waits for, or none at all (default: full)',
    group,
  },
  'push-bandwidth': {
    type: 'string',
    valueHint: 'size',
    description: 'Limit for those pages, in bytes per second (default: none)',
    group,
  },
};

/** The option of restores that choose the guest's memory. */
export const MEMORY_OPTION: Readonly<Record<'memory', OptionDef>> = {
  memory: {
    type: 'string',
    valueHint: 'anonymous|memfd|hugepages|path',
    description:
      "The kind of memory that the guest gets: QEMU's own, a memfd, huge pages, or a file in a directory on tmpfs or hugetlbfs (default: what the command line says)",
    group,
  },
};

/** @returns undefined where none of these options is given */
export function postcopyOptions(line: CommandLine<typeof PUSH_OPTIONS>): PostcopyOptions | undefined {
  const push = line.value('push');
  const limit = line.value('push-bandwidth');
  if (push === undefined && limit === undefined) return undefined;
  const maxBandwidth = limit === undefined ? undefined : parseSize('--push-bandwidth', limit);
  if (maxBandwidth === 0)
    throw new UsageError('--push-bandwidth must be 1 or more; --push off sends nothing unasked');
  return { push, maxBandwidth };
}

/** A directory whose name is one of the words is `./memfd`. */
export function memoryKind(line: CommandLine<typeof MEMORY_OPTION>): MemoryKind | undefined {
  const value = line.value('memory');
  if (value === undefined || value === 'anonymous' || value === 'memfd' || value === 'hugepages')
    return value;
  return { path: value };
}
