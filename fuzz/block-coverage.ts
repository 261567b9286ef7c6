import { Session, type Profiler } from 'node:inspector';

/** Blocks of code that ran in some stretch of time, by script. */
export type Ran = readonly Profiler.ScriptCoverage[];

/**
 * The session that counts. It starts when this module is loaded, and lives as long as the process: V8 counts blocks
 * only in functions that it compiles meanwhile, and it compiles a function once.
 */
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** Returns the blocks that ran since the last call, in all of the process. */
export function takeCoverage(): Ran {
  let ran: Ran = [];
  // A session in the same thread has its answer when `post` returns.
  session.post('Profiler.takePreciseCoverage', (error, taken) => {
    if (error !== null) throw error;
    ran = taken.result;
  });
  return ran;
}

/** The blocks that have run, as V8 itself counts them: nothing is instrumented. */
export class BlockCoverage {
  /** A byte for every character of a function, 1 when it belongs to a block that ran; by script and range. */
  readonly #seen: Map<string, Uint8Array> = new Map();
  readonly #folder: string;

  /** @param folder URL of the folder with the code to watch */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The number of characters of code in blocks that ran. */
  get size(): number {
    let size = 0;
    for (const seen of this.#seen.values()) for (const value of seen) size += value;
    return size;
  }

  /** True when a part of the code has not run before. @param options.add true to remember it */
  isNew(ran: Ran, options: { readonly add: boolean }): boolean {
    let isNew = false;
    for (const { url, functions } of ran) {
      if (!url.startsWith(this.#folder)) continue;
      for (const { ranges } of functions) {
        if (this.#look(url, ranges, options.add)) isNew = true;
        if (isNew && !options.add) return true;
      }
    }
    return isNew;
  }

  #look(url: string, ranges: readonly Profiler.CoverageRange[], add: boolean): boolean {
    const [whole] = ranges;
    if (whole === undefined || whole.count === 0) return false;
    const { startOffset: start, endOffset: end } = whole;
    const key = `${url}:${start}-${end}`;
    let seen = this.#seen.get(key);
    if (seen === undefined) {
      if (!add) return true;
      seen = new Uint8Array(end - start);
      this.#seen.set(key, seen);
    }
    // Ranges nest, outer before inner. V8 leaves out a range that ran as often as the one around it.
    const ran = new Uint8Array(end - start);
    for (const { startOffset, endOffset, count } of ranges)
      ran.fill(count > 0 ? 1 : 0, startOffset - start, endOffset - start);
    let isNew = false;
    for (let index = 0; index < ran.length; index += 1) {
      if (ran[index] !== 1 || seen[index] === 1) continue;
      if (!add) return true;
      seen[index] = 1;
      isNew = true;
    }
    return isNew;
  }
}
