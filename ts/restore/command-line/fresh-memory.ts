import { parseSize } from '../../uri/parse-size.ts';
import { namedMemory } from './memory-plan.ts';
import { isOn, type OptionValue } from './option-value.ts';
import { type CommandLineOption, membersOf } from './options.ts';
import { ownBackends } from './own-backends.ts';

/** Places in the file are multiples of this, so that huge pages are possible. */
const ALIGNMENT = 2 ** 21;

/** A block of a fresh guest's memory, and its place in the empty file. */
export interface FreshBlock {
  readonly id: string;
  /** Bytes. */
  readonly length: number;
  /** Bytes from the beginning of the file. */
  readonly offset: number;
  /** The caller's own object, which is replaced; undefined where `-m` alone makes the block. */
  readonly own: OptionValue | undefined;
}

/** The memory that a command line asks for. */
export interface FreshMemory {
  readonly blocks: readonly FreshBlock[];
  /** The value that `-machine memory-backend=` is to have; undefined when the command line names the memory. */
  readonly main: string | undefined;
  /** Bytes that the file needs. */
  readonly size: number;
  /** Reasons why the memory cannot be in an empty file, in words. */
  readonly problems: readonly string[];
}

/**
 * Finds the memory that a fresh guest is to have: main memory and DIMMs. Objects of other devices stay the caller's.
 * @param defaultRam the id of the block that `-m` makes on this machine; undefined where no object can bring it
 */
export function freshMemory(
  options: readonly CommandLineOption[],
  defaultRam: string | undefined,
): FreshMemory {
  const problems = [...optionProblems(options), ...deviceProblems(options)];
  const own = ownBackends(options);
  const named = namedMemory(options);
  const dimms = [...own].filter(([, { device }]) => device === 'pc-dimm').map(([id]) => id);
  const wanted: Omit<FreshBlock, 'offset'>[] = [];
  const main = named.length > 0 ? undefined : defaultRam;
  if (main !== undefined) {
    const length = bytesOf(givenSize(options));
    if (length === undefined)
      problems.push('-m SIZE is missing, or is no size: it says how much memory there is');
    else wanted.push({ id: main, length, own: undefined });
  } else if (named.length === 0) {
    problems.push('this machine makes its memory itself: no memory object can bring it');
  }
  for (const id of new Set([...named, ...dimms])) {
    const members = own.get(id)?.members;
    const length = bytesOf(members?.get('size'));
    if (members === undefined) problems.push(`there is no -object of memory with the id ${id}`);
    else if (length === undefined) problems.push(`-object ${id} has no size`);
    else wanted.push({ id, length, own: members });
    if (isOn(members?.get('share'))) {
      problems.push(
        `-object ${id} shares its memory (share=on): a save by the engine reads that out of its file as it is`,
      );
    }
  }
  let size = 0;
  const blocks: FreshBlock[] = [];
  for (const block of wanted) {
    blocks.push({ ...block, offset: size });
    size += Math.ceil(block.length / ALIGNMENT) * ALIGNMENT;
  }
  return { blocks, main, size, problems };
}

function optionProblems(options: readonly CommandLineOption[]): readonly string[] {
  const has = (name: string): boolean => options.some((option) => option.name === name);
  const locks = membersOf(options, 'overcommit').map((overcommit) => overcommit.get('mem-lock'));
  return [
    ...(has('incoming') ? ['-incoming: the guest is no fresh one'] : []),
    ...(has('loadvm') ? ['-loadvm: the guest is no fresh one'] : []),
    ...(has('mem-path') ? ['-mem-path and memory objects exclude each other: leave it out'] : []),
    ...(has('mem-prealloc') ? ['-mem-prealloc writes all of the memory: leave it out'] : []),
    ...(locks.includes('on')
      ? ['-overcommit mem-lock=on copies all of the memory: use mem-lock=on-fault']
      : []),
  ];
}

/** Lists devices that need memory of another kind than a private mapping of a read-only file. */
function deviceProblems(options: readonly CommandLineOption[]): readonly string[] {
  const drivers = [
    ...membersOf(options, 'device').map((device) => device.get('driver') ?? ''),
    ...membersOf(options, 'netdev').map((netdev) => netdev.get('type') ?? ''),
  ];
  return drivers.flatMap((driver) => {
    if (driver.startsWith('vhost-user')) return [`${driver} needs shared memory`];
    if (!driver.startsWith('virtio-mem')) return [];
    return [`${driver} gives memory back, which a read-only file does not allow`];
  });
}

function givenSize(options: readonly CommandLineOption[]): string | undefined {
  const given = membersOf(options, 'm')
    .map((memory) => memory.get('size'))
    .findLast((size) => size !== undefined);
  // QEMU reads a bare number here as MiB.
  return given !== undefined && /^\d+$/.test(given) ? `${given}M` : given;
}

/** Returns undefined for what is no size, and for nothing. */
function bytesOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    const bytes = Number(parseSize(text));
    return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
  } catch {
    return undefined;
  }
}
