import { getHeapStatistics } from 'node:v8';

import { MappedRamError } from '../ts/errors.ts';
import type { SparseInput } from './sparse-input.ts';
import { DEFAULT_LIMITS, INPUT_CODES, type FuzzTarget } from './target.ts';
import { WatchedReader } from './watched-reader.ts';

/** How an execution ended: what it reached, or what is wrong with the code under test. */
export interface Outcome {
  readonly reached: string;
  readonly fault?: Error;
}

export interface MeasuredOutcome extends Outcome {
  /** As the reader counts it. */
  readonly cost: number;
}

/** Executions of which the fastest counts before one is called slow: the machine may have been busy. */
const ATTEMPTS = 3;

/** Tries a target with one input and judges how it ended. */
export async function execute(target: FuzzTarget, input: SparseInput): Promise<MeasuredOutcome> {
  const limits = { ...DEFAULT_LIMITS, ...target.limits };
  for (let attempt = 1; ; attempt += 1) {
    const reader = new WatchedReader(input, limits);
    const before = memoryInUse();
    const start = performance.now();
    const outcome = { ...(await judge(target, reader)), cost: reader.cost };
    const elapsed = performance.now() - start;
    const growth = memoryInUse() - before;
    const { violation } = reader;
    if (violation !== undefined) return { ...outcome, fault: violation };
    if (outcome.fault !== undefined) return outcome;
    if (growth > limits.bytesOfMemory)
      return { ...outcome, fault: new Error(`memory grew by ${growth} bytes`) };
    if (elapsed <= limits.milliseconds) return outcome;
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

function memoryInUse(): number {
  const { used_heap_size: heap, external_memory: buffers, malloced_memory: malloced } = getHeapStatistics();
  return heap + buffers + malloced;
}
