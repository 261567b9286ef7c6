import type { MappedRamBlock } from '../../stream/stream-index.ts';
import { backendOf } from '../../stream/block-names.ts';
import { findMainMemory, type MainMemory } from '../../stream/main-memory.ts';
import { parseSize } from '../../uri/parse-size.ts';
import { membersOf, type CommandLineOption } from './options.ts';
import type { OptionValue } from './option-value.ts';
import { lostFile, ownBackends, staysOwn } from './own-backends.ts';

const MIB = 2 ** 20;

/** A memory backend that is to bring one of the snapshot's blocks back. */
export interface PlannedBackend {
  readonly block: MappedRamBlock;
  /** The object's id. */
  readonly id: string;
  /** The caller's own object of that name; undefined when there is none. */
  readonly own: OptionValue | undefined;
  /** True when the block is there without any object, or nothing says that it is not. */
  readonly isDefault: boolean;
}

/** The snapshot's side of the matching. */
export interface SnapshotMemory {
  /** The machine type. */
  readonly machine: string;
  readonly blocks: readonly MappedRamBlock[];
  /** The answer of the QEMU that is to be started about this machine type. @default the table of machine types */
  readonly defaultRam?: string | undefined;
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
  /** The reason why it is not known which block is main memory, in words; undefined when it is. */
  readonly open: string | undefined;
  /** The files of the caller's objects that a mode with memory of its own leaves out, in words. */
  readonly losses: readonly string[];
}

/** Finds the snapshot's blocks whose memory a `-object memory-backend-…` can bring, and those that it has to. */
export function planMemory(options: readonly CommandLineOption[], snapshot: SnapshotMemory): MemoryPlan {
  const { blocks } = snapshot;
  const problems: string[] = [];
  const own = ownBackends(options);
  const named = namedMemory(options);
  const given = givenSize(options);
  // QEMU reads a bare number in `-m` as MiB.
  const givenBytes = given === undefined ? undefined : bytesOf(/^\d+$/.test(given) ? `${given}M` : given);
  const found = findMainMemory({
    ...snapshot,
    blocks: blocks.filter(({ id }) => own.get(backendOf(id))?.device === undefined),
    isTotal: givenBytes === undefined ? undefined : (bytes) => bytes === givenBytes,
  });
  const main = named.length > 0 ? undefined : found.main;
  const base = main === undefined ? named : [backendOf(main.id)];
  const backends: PlannedBackend[] = [];
  for (const id of new Set([...own.keys(), ...base])) {
    const object = own.get(id);
    const block = blocks.find((candidate) => backendOf(candidate.id) === id);
    if (block === undefined) {
      if (named.includes(id)) problems.push(missing(id, found.candidates));
      continue;
    }
    problems.push(...sizeProblems(block, object?.members));
    if (object !== undefined && staysOwn(object) && !base.includes(id)) continue;
    const isDefault = block === main && found.isDefault !== false;
    backends.push({ block, id, own: object?.members, isDefault });
  }
  const bytes = backends
    .filter(({ id }) => base.includes(id))
    .reduce((sum, { block }) => sum + block.length, 0);
  if (given !== undefined && bytes > 0 && givenBytes !== bytes) {
    const size = givenBytes === undefined ? given : `is ${words(givenBytes)}`;
    problems.push(`-m ${size}, but the snapshot's memory (${base.join(', ')}) is ${words(bytes)}`);
  }
  return {
    backends,
    machineBackend: main === undefined ? undefined : backendOf(main.id),
    size: given === undefined && bytes > 0 ? bytes : undefined,
    problems,
    open: base.length > 0 ? undefined : openWords(found, snapshot.machine),
    losses: backends.flatMap(({ id }) => (base.includes(id) ? [] : lossWords(id, own))),
  };
}

function openWords({ candidates, isDefault }: MainMemory<MappedRamBlock>, machine: string): string {
  if (candidates.length > 0) {
    const ids = candidates.map(({ id }) => backendOf(id)).join(', ');
    return `the snapshot has several blocks of memory (${ids}): say with -m SIZE, -machine memory-backend=… or -numa node,memdev=… which of them is the main memory`;
  }
  return isDefault === true
    ? `machines of type ${machine} make their memory themselves: use mode eager`
    : 'no block of the snapshot is memory that could be mapped: use mode eager';
}

function lossWords(id: string, own: ReturnType<typeof ownBackends>): readonly string[] {
  const object = own.get(id);
  const path = object === undefined ? undefined : lostFile(object);
  return path === undefined
    ? []
    : [`the memory of ${object?.device} (object ${id}) comes out of the snapshot: ${path} is not used`];
}

/** The objects that `-machine memory-backend=` or `-numa node,memdev=` name. */
export function namedMemory(options: readonly CommandLineOption[]): readonly string[] {
  const names = [
    membersOf(options, 'machine')
      .findLast((machine) => machine.has('memory-backend'))
      ?.get('memory-backend'),
    ...membersOf(options, 'numa').map((node) => node.get('memdev')),
  ];
  return names.filter((name) => name !== undefined);
}

function missing(id: string, candidates: readonly MappedRamBlock[]): string {
  const memory = candidates.map((block) => backendOf(block.id));
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
