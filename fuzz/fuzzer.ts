import { DICTIONARY } from './dictionary.ts';
import { BlockCoverage, takeCoverage } from './block-coverage.ts';
import { execute } from './execute.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import { storedBytes, type SparseInput } from './sparse-input.ts';
import type { FuzzTarget } from './target.ts';

/**
 * The number of executions between two looks at the coverage: one question to V8 takes as long as a hundred executions.
 */
const BATCH = 128;

/** Bytes that small inputs may grow to. Larger ones may double. */
const MIN_BYTES = 4096;

/** The cost of searching a whole file. Only a few inputs of this cost are tried. */
const DEAR = 8 * 2 ** 20;

const PACKAGE = new URL('../ts/', import.meta.url).href;

export interface Finding {
  readonly input: SparseInput;
  readonly fault: Error;
}

export interface FuzzerOptions {
  readonly target: FuzzTarget;
  readonly corpus: readonly SparseInput[];
  /** The seed of the random numbers, 0 to 2^32-1. */
  readonly seed: number;
  /** URL of the folder whose code is counted by blocks. Default `ts/`. */
  readonly code?: string;
  /** Called with every input before it is tried, so that an input that never ends is known. */
  readonly onInput?: (input: SparseInput) => void;
}

interface Kept {
  readonly input: SparseInput;
  readonly cost: number;
}

const NOTHING: Kept = { input: { size: 0, extents: [] }, cost: 0 };

/** Tries a target with mutations of a corpus. Keeps those that run code or reach a point that none did before. */
export class Fuzzer {
  readonly #target: FuzzTarget;
  readonly #random: Random;
  readonly #onInput: (input: SparseInput) => void;
  readonly #dictionary: readonly Uint8Array[];
  readonly #coverage: BlockCoverage;
  readonly #reached: Set<string> = new Set();
  readonly #kept: Kept[] = [];
  readonly #given: readonly SparseInput[];
  readonly #maxBytes: number;
  #executions = 0;

  constructor({ target, corpus, seed, code = PACKAGE, onInput = () => undefined }: FuzzerOptions) {
    this.#target = target;
    this.#coverage = new BlockCoverage(code);
    this.#given = corpus;
    this.#random = new Random(seed);
    this.#onInput = onInput;
    const words = (target.dictionary ?? []).map((word) => Uint8Array.from(Buffer.from(word)));
    this.#dictionary = [...DICTIONARY, ...words];
    this.#maxBytes = Math.max(MIN_BYTES, ...corpus.map((input) => 2 * storedBytes(input)));
  }

  get executions(): number {
    return this.#executions;
  }

  /** The inputs that each did something new. */
  get kept(): readonly SparseInput[] {
    return this.#kept.map(({ input }) => input);
  }

  /** The number of characters of code in blocks that ran. */
  get covered(): number {
    return this.#coverage.size;
  }

  /** Tries the corpus as it is, the small before the large. So a large input is kept only for what it adds. */
  async replay(): Promise<Finding | undefined> {
    takeCoverage();
    for (const input of this.#given.toSorted((left, right) => storedBytes(left) - storedBytes(right))) {
      const finding = await this.#try(input);
      if (finding !== undefined) return finding;
    }
    return undefined;
  }

  /** Goes on until there is a finding or `isOver`, which is asked after every batch. */
  async run(isOver: () => boolean): Promise<Finding | undefined> {
    while (!isOver()) {
      const batch = Array.from({ length: BATCH }, () => this.#next());
      const finding = await this.#explore(batch);
      if (finding !== undefined) return finding;
    }
    return undefined;
  }

  /** Finds the inputs in a batch that are worth keeping: halves the batch for as long as it ran something new. */
  async #explore(batch: readonly SparseInput[]): Promise<Finding | undefined> {
    const [only] = batch;
    if (only !== undefined && batch.length === 1) return this.#try(only);
    takeCoverage();
    for (const input of batch) {
      const { fault, reached, cost } = await this.#execute(input);
      if (fault !== undefined) return { input, fault };
      if (this.#isNewlyReached(reached)) this.#kept.push({ input, cost });
    }
    if (!this.#coverage.isNew(takeCoverage(), { add: false })) return undefined;
    const middle = Math.ceil(batch.length / 2);
    return (await this.#explore(batch.slice(0, middle))) ?? this.#explore(batch.slice(middle));
  }

  /** Executes an input alone, and keeps it if it is worth keeping. */
  async #try(input: SparseInput): Promise<Finding | undefined> {
    takeCoverage();
    const { fault, reached, cost } = await this.#execute(input);
    if (fault !== undefined) return { input, fault };
    const ranNew = this.#coverage.isNew(takeCoverage(), { add: true });
    const isKept = this.#kept.some((kept) => kept.input === input);
    if ((this.#isNewlyReached(reached) || ranNew) && !isKept) this.#kept.push({ input, cost });
    return undefined;
  }

  /** Each word counts for itself, in its place: the combinations of words are too many. */
  #isNewlyReached(reached: string): boolean {
    const known = this.#reached.size;
    for (const [place, word] of reached.split(' ').entries()) this.#reached.add(`${place} ${word}`);
    return this.#reached.size > known;
  }

  async #execute(input: SparseInput): ReturnType<typeof execute> {
    this.#executions += 1;
    this.#onInput(input);
    return execute(this.#target, input);
  }

  /** Makes a mutation of a kept input: of a late one rather than an early one, and mostly of one that costs little. */
  #next(): SparseInput {
    const random = this.#random;
    const kept = this.#kept;
    const any = (): Kept => kept[random.below(kept.length)] ?? NOTHING;
    const late = kept[Math.max(random.below(kept.length), random.below(kept.length))] ?? NOTHING;
    const [cheapest = late] = [late, any(), any()].toSorted((left, right) => left.cost - right.cost);
    const { input } = random.once(late.cost > DEAR ? 64 : 2) ? late : cheapest;
    const { input: other } = any();
    return mutate(input, { random, other, dictionary: this.#dictionary, maxBytes: this.#maxBytes });
  }
}
