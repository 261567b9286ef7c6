import { getHeapStatistics } from 'node:v8';

import { MappedRamError } from '../ts/errors.ts';
import type { SparseInput } from './sparse-input.ts';
import { DEFAULT_LIMITS, INPUT_CODES, type FuzzTarget } from './target.ts';
import { takeLargestAllocation, watchAllocations } from './watch-allocations.ts';
import { WatchedReader } from './watched-reader.ts';

/** The end of an execution: the point that it reached, or the fault of the code under test. */
export interface Outcome {
  readonly reached: string;
  readonly fault?: Error;
}

export interface MeasuredOutcome extends Outcome {
  /** The cost, as the reader counts it. */
  readonly cost: number;
}

/** The number of executions before one is called slow; the fastest counts. The first ones are not yet compiled. */
const ATTEMPTS = 3;

watchAllocations();

/** Tries a target with one input and judges the outcome. */
export async function execute(target: FuzzTarget, input: SparseInput): Promise<MeasuredOutcome> {
  const limits = { ...DEFAULT_LIMITS, ...target.limits };
  for (let attempt = 1; ; attempt += 1) {
    const reader = new WatchedReader(input, limits);
    takeLargestAllocation();
    const before = heapInUse();
    const start = process.cpuUsage();
    const outcome = { ...(await judge(target, reader)), cost: reader.cost };
    const { user, system } = process.cpuUsage(start);
    const growth = Math.max(heapInUse() - before, takeLargestAllocation());
    const { violation } = reader;
    if (violation !== undefined) return { ...outcome, fault: violation };
    if (outcome.fault !== undefined) return outcome;
    if (growth > limits.bytesOfMemory)
      return { ...outcome, fault: new Error(`took ${growth} bytes of memory`) };
    // Processor time decides, not the clock: the machine may be busy with other things.
    if ((user + system) / 1000 <= limits.milliseconds) return outcome;
    if (attempt === ATTEMPTS)
      return { ...outcome, fault: new Error(`took longer than ${limits.milliseconds} ms`) };
  }
}

async function judge({ run, codes = INPUT_CODES }: FuzzTarget, reader: WatchedReader): Promise<Outcome> {
  try {
    return { reached: await run(reader) };
  } catch (error) {
    if (!(error instanceof MappedRamError)) {
      const fault = error instanceof Error ? error : new Error('threw no error', { cause: error });
      return { reached: 'fault', fault };
    }
    return codes.includes(error.code) ? { reached: error.code } : { reached: error.code, fault: error };
  }
}

function heapInUse(): number {
  return getHeapStatistics().used_heap_size;
}
