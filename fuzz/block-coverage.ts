import { Session, type Profiler } from 'node:inspector';

/** Blocks of code that ran in some stretch of time. */
export type Ran = readonly Profiler.FunctionCoverage[];

/**
 * Which blocks of this package's code have run, as V8 itself counts them: nothing is instrumented. Only one can be on
 * at a time in a process.
 */
export class BlockCoverage implements Disposable {
  readonly #session: Session = new Session();
  /** For every function, which of its characters belong to a block that ran. */
  readonly #seen: Map<string, Uint8Array> = new Map();
  readonly #folder: string;

  /** @param folder URL that the code to watch lies under */
  constructor(folder: string) {
    this.#folder = folder;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Characters of code in blocks that ran. */
  get size(): number {
    let size = 0;
    for (const seen of this.#seen.values()) for (const value of seen) size += value;
    return size;
  }

  /** What ran since the last call. */
  take(): readonly (readonly [string, Ran])[] {
    let result: readonly Profiler.ScriptCoverage[] = [];
    // In the same thread the answer is there when `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) throw error;
      result = taken.result;
    });
    return result
      .filter(({ url }) => url.startsWith(this.#folder))
      .map(({ url, functions }) => [url, functions]);
  }

  /** Whether something of it has not run before. @param add also remember it */
  isNew(taken: readonly (readonly [string, Ran])[], options: { readonly add: boolean }): boolean {
    let isNew = false;
    for (const [url, functions] of taken) {
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
    // Ranges nest, outer before inner; V8 leaves out one that ran as often as the one around it.
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

  [Symbol.dispose](): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }
}
