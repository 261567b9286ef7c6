import { DICTIONARY } from './dictionary.ts';
import { BlockCoverage, takeCoverage } from './block-coverage.ts';
import { execute } from './execute.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import { storedBytes, type SparseInput } from './sparse-input.ts';
import type { FuzzTarget } from './target.ts';

/** Asking V8 what ran takes as long as a hundred executions, so they are looked at by the hundred. */
const BATCH = 128;

/** Mutations may double an input, and small ones may grow to this many bytes. */
const MIN_BYTES = 4096;

/** What a search of a whole file costs; of such inputs only a few are tried. */
const DEAR = 8 * 2 ** 20;

const PACKAGE = new URL('../ts/', import.meta.url).href;

export interface Finding {
  readonly input: SparseInput;
  readonly fault: Error;
}

export interface FuzzerOptions {
  readonly target: FuzzTarget;
  readonly corpus: readonly SparseInput[];
  /** 0 to 2^32-1. */
  readonly seed: number;
  /** URL that the code lies under whose blocks count. Default `ts/`. */
  readonly code?: string;
  /** Told of every input before it is tried, so that one that never ends can be told. */
  readonly onInput?: (input: SparseInput) => void;
}

interface Kept {
  readonly input: SparseInput;
  readonly cost: number;
}

const NOTHING: Kept = { input: { size: 0, extents: [] }, cost: 0 };

/** Tries a target with mutations of a corpus, and keeps those that run code or reach something that none did before. */
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

  /** Inputs of which each did something that those before it did not. */
  get kept(): readonly SparseInput[] {
    return this.#kept.map(({ input }) => input);
  }

  /** Characters of code in blocks that ran. */
  get covered(): number {
    return this.#coverage.size;
  }

  /** Tries the corpus as it is, the small before the large, which thereby are kept only for what they add. */
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

  /** Finds the inputs in a batch that are worth keeping: halves it for as long as it ran something new. */
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

  /** Executes an input alone and keeps it if it is worth it. */
  async #try(input: SparseInput): Promise<Finding | undefined> {
    takeCoverage();
    const { fault, reached, cost } = await this.#execute(input);
    if (fault !== undefined) return { input, fault };
    const ranNew = this.#coverage.isNew(takeCoverage(), { add: true });
    const isKept = this.#kept.some((kept) => kept.input === input);
    if ((this.#isNewlyReached(reached) || ranNew) && !isKept) this.#kept.push({ input, cost });
    return undefined;
  }

  /** Every word in its place counts for itself: their combinations are too many. */
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

  /** A mutation of one that was kept: of a late one rather than of an early one, and mostly of one that costs little. */
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
