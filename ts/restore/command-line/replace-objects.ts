import type { MemoryObject } from '../modes/mode.ts';
import { formatOptionValue, type OptionValue } from './option-value.ts';
import type { CommandLineOption } from './options.ts';
import { isMemoryBackend } from './own-backends.ts';

/** Members of the caller's own object that the new object keeps. */
const KEPT = ['merge', 'dump', 'policy', 'host-nodes'];
const CANONICAL = 'x-use-canonical-path-for-ramblock-id';
/** Machine types up to 3.1, where blocks of memory-backend-file have paths, and those of memory-backend-ram have not. */
const WITH_PATHS = /-(?:[0-3]\.\d+|rhel7\.\d)/;

/** A memory object that a command line is to have. */
export interface NewObject {
  readonly id: string;
  /** The name that its block is to have. */
  readonly blockId: string;
  /** Bytes. */
  readonly length: number;
  /** The machine type. */
  readonly machine: string;
  /** The caller's own object of that name; undefined when there is none. */
  readonly own: OptionValue | undefined;
}

/** Returns the words that make a memory object. */
export function objectWords(
  object: MemoryObject,
  { id, blockId, length, machine, own }: NewObject,
): readonly string[] {
  const members = new Map([
    ['qom-type', object.type],
    ['id', id],
    ['size', String(length)],
    ...object.members,
  ]);
  if (blockId !== id) members.set(CANONICAL, 'on');
  else if (WITH_PATHS.test(machine)) members.set(CANONICAL, 'off');
  for (const key of KEPT) {
    const value = own?.get(key) ?? '';
    if (value !== '') members.set(key, value);
  }
  return ['-object', formatOptionValue(members, 'qom-type')];
}

/**
 * Returns the caller's words, with our objects in place of the caller's of the same ids. A file of `-readconfig` stays
 * where none of its objects is replaced; else its options stand in its place.
 */
export function replaceObjects(
  options: readonly CommandLineOption[],
  objects: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  const replacement = (option: CommandLineOption): readonly string[] | undefined => {
    if (option.name !== 'object' || !isMemoryBackend(option.members)) return undefined;
    return objects.get(option.members.get('id') ?? '');
  };
  const changed = new Set(
    options.filter((option) => replacement(option) !== undefined).map(({ configFile }) => configFile),
  );
  const isInFile = ({ configFile }: CommandLineOption): boolean =>
    configFile !== undefined && !changed.has(configFile);
  const words = options.flatMap((option) => {
    if (!isInFile(option)) return replacement(option) ?? option.words;
    return option.name === 'readconfig' ? (option.configFile?.words ?? []) : [];
  });
  return [...words, ...defaultNetwork(options, isInFile)];
}

/** Options with which QEMU adds no network card of its own. */
const NETWORKS = new Set(['net', 'netdev', 'nic', 'nodefaults']);

/**
 * Returns the options for the network that QEMU adds on its own. A `[netdev]` of a file leaves it there, the option
 * that stands in its place would not.
 * @param isInFile true for an option that QEMU still reads out of its file
 */
function defaultNetwork(
  options: readonly CommandLineOption[],
  isInFile: (option: CommandLineOption) => boolean,
): readonly string[] {
  const networks = options.filter((option) => NETWORKS.has(option.name ?? '') && !isInFile(option));
  const isLeft = networks.length > 0 && networks.every(({ configFile }) => configFile !== undefined);
  return isLeft ? ['-net', 'nic', '-net', 'user'] : [];
}
