import type { MemoryPattern } from './figures.ts';

/** A run of pages that hold data, by page numbers. The pages between runs are zero. */
export interface DataRun {
  readonly first: number;
  readonly count: number;
}

/** Pages in a run, and zero pages behind it. */
type Stretch = readonly [run: number, gap: number];

/** Pages of a large run: 4 MiB. */
const LARGE_RUN = 1024;
/** The longest run of scattered pages, and the longest gap between two runs. */
const SCATTERED_RUN = 64;
/** The longest run in mostly empty memory. */
const SPARSE_RUN = 64;
/** Zero pages for each page of data in mostly empty memory: data is one twentieth. */
const SPARSE_GAP = 19;
const SEED = 0x6d72616d;

/** Makes the stretches of a pattern, from draws of a whole number from 1 to a limit. */
const STRETCHES: Readonly<Record<MemoryPattern, (draw: (limit: number) => number) => Stretch>> = {
  random: () => [LARGE_RUN, 0],
  'half-zero': () => [LARGE_RUN, LARGE_RUN],
  scattered: (draw) => [draw(SCATTERED_RUN), draw(SCATTERED_RUN)],
  'mostly-empty': (draw) => {
    const run = draw(SPARSE_RUN);
    return [run, run * SPARSE_GAP];
  },
};

/**
 * True when the zero pages of a pattern were written, as by a guest that has cleared them: they are there, and only a look
 * at their bytes tells that they are zero. Mostly empty memory was never written between its runs: holes.
 */
export function zerosAreWritten(pattern: MemoryPattern): boolean {
  return pattern !== 'mostly-empty';
}

/** The runs of data in a memory of so many pages, in order. The same arguments give the same runs on every machine. */
export function* dataRuns(pattern: MemoryPattern, pages: number): Generator<DataRun, void, void> {
  const words = randomWords(SEED);
  const draw = (limit: number): number => 1 + (words() % limit);
  for (let first = 0; first < pages;) {
    const [run, gap] = STRETCHES[pattern](draw);
    yield { first, count: Math.min(run, pages - first) };
    first += run + gap;
  }
}

/** Makes a source of 32-bit words that are alike on every machine (xorshift32). */
export function randomWords(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
