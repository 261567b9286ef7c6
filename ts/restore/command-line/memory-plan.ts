import type { MappedRamBlock } from '../../stream/stream-index.ts';
import { backendOf, isBackendMemory } from '../../stream/block-names.ts';
import { parseSize } from '../../uri/parse-size.ts';
import { membersOf, type CommandLineOption } from './options.ts';
import type { OptionValue } from './option-value.ts';

const MIB = 2 ** 20;

/** A memory backend that is to bring one of the snapshot's blocks back. */
export interface PlannedBackend {
  readonly block: MappedRamBlock;
  /** The object's id. */
  readonly id: string;
  /** The caller's own object of that name; undefined when there is none. */
  readonly own: OptionValue | undefined;
}

/** The result of matching the snapshot's memory with a command line. */
export interface MemoryPlan {
  readonly backends: readonly PlannedBackend[];
  /** The value that `-machine memory-backend=` is to have; undefined when the command line has all that it needs. */
  readonly machineBackend: string | undefined;
  /** Bytes for `-m`; undefined when the command line has it. */
  readonly size: number | undefined;
  /** Reasons why the two do not go together, in words. */
  readonly problems: readonly string[];
}

/** Finds the snapshot's blocks whose memory a `-object memory-backend-…` can bring. */
export function planMemory(
  options: readonly CommandLineOption[],
  blocks: readonly MappedRamBlock[],
): MemoryPlan {
  const problems: string[] = [];
  const own = ownBackends(options);
  const named = namedMemory(options);
  const [main, ...others] = named.length > 0 ? [] : unnamedMemory(blocks, own);
  if (main !== undefined && others.length > 0) {
    const ids = [main, ...others].map(({ id }) => id).join(', ');
    problems.push(
      `the snapshot has several blocks of memory (${ids}): say with -numa node,memdev=… or -machine memory-backend=… what they are`,
    );
  }
  const wanted = new Set([...own.keys(), ...named, ...(main === undefined ? [] : [backendOf(main.id)])]);
  const backends: PlannedBackend[] = [];
  for (const id of wanted) {
    const block = blocks.find((candidate) => backendOf(candidate.id) === id);
    if (block !== undefined) backends.push({ block, id, own: own.get(id) });
    else if (named.includes(id)) problems.push(missing(id, blocks));
  }
  for (const { block, own: object } of backends) problems.push(...sizeProblems(block, object));
  const base = named.length > 0 ? named : wanted.size > 0 && main !== undefined ? [backendOf(main.id)] : [];
  const bytes = backends
    .filter(({ id }) => base.includes(id))
    .reduce((sum, { block }) => sum + block.length, 0);
  const given = givenSize(options);
  // QEMU reads a bare number in `-m` as MiB.
  const givenBytes = given === undefined ? undefined : bytesOf(/^\d+$/.test(given) ? `${given}M` : given);
  if (given !== undefined && bytes > 0 && givenBytes !== bytes) {
    const found = givenBytes === undefined ? given : `is ${words(givenBytes)}`;
    problems.push(`-m ${found}, but the snapshot's memory (${base.join(', ')}) is ${words(bytes)}`);
  }
  return {
    backends,
    machineBackend: main === undefined ? undefined : backendOf(main.id),
    size: given === undefined && bytes > 0 ? bytes : undefined,
    problems,
  };
}

function ownBackends(options: readonly CommandLineOption[]): ReadonlyMap<string, OptionValue> {
  const objects = new Map<string, OptionValue>();
  for (const object of membersOf(options, 'object')) {
    const id = object.get('id');
    if (id !== undefined && isMemoryBackend(object)) objects.set(id, object);
  }
  return objects;
}

/** True when an object is memory. */
export function isMemoryBackend(object: OptionValue): boolean {
  return object.get('qom-type')?.startsWith('memory-backend-') ?? false;
}

/** The objects that `-machine memory-backend=` or `-numa node,memdev=` name. */
function namedMemory(options: readonly CommandLineOption[]): readonly string[] {
  const names = [
    membersOf(options, 'machine')
      .findLast((machine) => machine.has('memory-backend'))
      ?.get('memory-backend'),
    ...membersOf(options, 'numa').map((node) => node.get('memdev')),
  ];
  return names.filter((name) => name !== undefined);
}

function unnamedMemory(
  blocks: readonly MappedRamBlock[],
  own: ReadonlyMap<string, OptionValue>,
): readonly MappedRamBlock[] {
  return blocks
    .filter(({ id }) => isBackendMemory(id) && !own.has(backendOf(id)))
    .toSorted((left, right) => right.length - left.length);
}

function missing(id: string, blocks: readonly MappedRamBlock[]): string {
  const memory = unnamedMemory(blocks, new Map()).map(({ id: block }) => backendOf(block));
  return `the command line's memory is called ${id}, the snapshot's ${memory.join(', ') || 'nothing'}`;
}

function sizeProblems(block: MappedRamBlock, own: OptionValue | undefined): readonly string[] {
  const size = own?.get('size');
  const bytes = size === undefined ? block.length : bytesOf(size);
  if (bytes === block.length) return [];
  const found = bytes === undefined ? `of size ${size}` : words(bytes);
  return [`-object ${block.id} is ${found}, but the snapshot's block is ${words(block.length)}`];
}

/** The size that `-m` gives. */
function givenSize(options: readonly CommandLineOption[]): string | undefined {
  const sizes = membersOf(options, 'm').map((memory) => memory.get('size'));
  return sizes.findLast((size) => size !== undefined);
}

/** Returns undefined for a text that is no size. */
function bytesOf(size: string): number | undefined {
  try {
    return Number(parseSize(size));
  } catch {
    return undefined;
  }
}

function words(bytes: number): string {
  return bytes % MIB === 0 ? `${bytes / MIB} MiB` : `${bytes} bytes`;
}
