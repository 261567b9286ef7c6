import { isObjectsName, isQemusOwnName } from './block-names.ts';
import { defaultRamIds } from './default-ram.ts';

/** A RAM block, as far as the question for main memory goes. */
interface Block {
  readonly id: string;
  /** Bytes. */
  readonly length: number;
}

/** The facts about a guest that tell its main memory. */
export interface MainMemoryFacts<B extends Block> {
  /** The machine type of the file. */
  readonly machine: string;
  /** The blocks that can be main memory, as far as the caller knows. */
  readonly blocks: readonly B[];
  /** The answer of a QEMU about this machine type (`default-ram-id`). @default the table of machine types */
  readonly defaultRam?: string | undefined;
  /** Tells whether so many bytes are all of the main memory; undefined where nothing tells its size. */
  readonly isTotal?: ((bytes: number) => boolean) | undefined;
}

/** The main memory of a guest. */
export interface MainMemory<B extends Block> {
  /** The one block that it is; undefined when the facts leave that open. */
  readonly main: B | undefined;
  /**
   * True when the machine makes this block of `-m` alone, false when a memory backend of the caller's has to bring it;
   * undefined where the machine type is not known.
   */
  readonly isDefault: boolean | undefined;
  /** The blocks that main memory can be, when there is no one block of the machine's own. */
  readonly candidates: readonly B[];
}

/** A shorter block is no RAM when there are longer ones: devices have such buffers. */
const LEAST_RAM = 2 ** 20;

/**
 * Finds the block that is a guest's main memory (docs/format.md §2.7). The machine type gives the block's name, unless
 * memory backends bring the memory. Their blocks have the names of objects, as have blocks of memory devices, of
 * boards, and of some devices; the size of the memory tells them apart.
 */
export function findMainMemory<B extends Block>(facts: MainMemoryFacts<B>): MainMemory<B> {
  const { machine, blocks, defaultRam, isTotal } = facts;
  const ids = defaultRam === undefined ? defaultRamIds(machine) : [defaultRam];
  const own = blocks.find(({ id }) => ids?.includes(id));
  if (own !== undefined) return { main: own, isDefault: true, candidates: [own] };
  if (ids?.length === 0) return { main: undefined, isDefault: true, candidates: [] };
  const candidates = likely(blocks.filter(({ id }) => isObjectsName(id) && !isQemusOwnName(id)));
  const fitting = isTotal === undefined ? [] : candidates.filter(({ length }) => isTotal(length));
  const [main, ...others] = candidates.length > 1 ? fitting : candidates;
  return {
    main: others.length > 0 ? undefined : main,
    isDefault: ids === undefined ? undefined : false,
    candidates,
  };
}

function likely<B extends Block>(blocks: readonly B[]): readonly B[] {
  const large = blocks.filter(({ length }) => length >= LEAST_RAM);
  return large.length > 0 ? large : blocks;
}
