import type { Contender } from '../contender.ts';
import type { RoundFigures } from '../figures.ts';
import { countSyscalls } from '../meter/count-syscalls.ts';
import { anonymousBytes, meterProcess } from '../meter/meter-process.ts';
import { lookIntoPageCache } from '../meter/look-into-page-cache.ts';
import { pageCacheGrowth } from '../meter/page-cache-growth.ts';

/** Surrounds the very work of a process: that alone is metered. */
export type Watch = <T>(pid: number, work: () => Promise<T>) => Promise<T>;

/** The work of a program that is not this package. */
export interface ForeignWork extends AsyncDisposable {
  /** Puts everything in place for one round. */
  prepare(signal: AbortSignal): Promise<void>;
  /**
   * Puts everything in place for a round that does next to nothing. Its system calls are those of stopping the program
   * around its work, and are taken off. @default none is taken off: the plain programs make two for each stop, and a QEMU
   * was started long before it is counted, and waits
   */
  readonly prepareNothing?: (signal: AbortSignal) => Promise<void>;
  /** The files on the disk that the next round writes or reads. Known after `prepare`. */
  files(): readonly string[];
  /** Does the work once. */
  run(watch: Watch, signal: AbortSignal): Promise<Pick<RoundFigures, 'milliseconds' | 'dataBytes'>>;
  /** Takes away what the round has left, whichever way it ended. Its time does not count. */
  clear(): Promise<void>;
}

/**
 * Makes a contender of a program's work.
 * @param bytes guest memory that a round covers
 */
export function foreignContender(
  { name, program, settings }: Pick<Contender, 'name' | 'program' | 'settings'>,
  bytes: number,
  work: ForeignWork,
): Contender {
  const orClear = async (part: Promise<void>): Promise<void> => {
    try {
      await part;
    } catch (error) {
      await work.clear();
      throw error;
    }
  };
  return {
    name,
    program,
    isReference: true,
    settings,
    prepare: (signal) => orClear(work.prepare(signal)),
    run: async (signal) => {
      try {
        const metered = new MeteredRound(work.files());
        const { milliseconds, dataBytes } = await work.run(metered.watch, signal);
        return { milliseconds, bytes, dataBytes, ...metered.figures };
      } finally {
        await work.clear();
      }
    },
    countSyscalls: async (signal) => {
      const calls = await countRound(work, signal);
      if (work.prepareNothing === undefined || calls === undefined) return calls;
      await orClear(work.prepareNothing(signal));
      const own = await countRound(work, signal);
      const difference = own === undefined ? Number.NaN : calls - own;
      // A program's own waiting makes some tens of calls more or less: of little work nothing is known then.
      return difference > 0 ? difference : undefined;
    },
    [Symbol.asyncDispose]: () => work[Symbol.asyncDispose](),
  };
}

/** Does the work once, and returns the number of its system calls; undefined when nothing can count them. */
async function countRound(work: ForeignWork, signal: AbortSignal): Promise<number | undefined> {
  let calls: number | undefined;
  const counting: Watch = async (pid, inner) => {
    let done: { readonly value: Awaited<ReturnType<typeof inner>> } | undefined;
    ({ calls } = await countSyscalls(pid, async () => {
      done = { value: await inner() };
    }));
    if (done === undefined) throw new TypeError('the work was not done');
    return done.value;
  };
  try {
    await work.run(counting, signal);
    return calls;
  } finally {
    await work.clear();
  }
}

/** The meters of one round. */
class MeteredRound {
  readonly #files: readonly string[];
  figures: Pick<RoundFigures, 'cpuMs' | 'peakBytes' | 'idleBytes' | 'pageCacheBytes'> = {};

  constructor(files: readonly string[]) {
    this.#files = files;
  }

  readonly watch: Watch = async (pid, work) => {
    const idleBytes = anonymousBytes(pid);
    const growth = await pageCacheGrowth(this.#files, lookIntoPageCache);
    using meter = meterProcess(pid);
    const result = await work();
    this.figures = { ...meter.end(), idleBytes, pageCacheBytes: await growth.end() };
    return result;
  };
}
