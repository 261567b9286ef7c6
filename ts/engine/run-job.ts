import { addAbortListener } from 'node:events';

import { MappedRamError } from '../errors.ts';
import { tellListener } from '../host/tell-listener.ts';
import { toMappedRamError, type BindingError } from './binding.ts';
import type { TransferOptions, TransferProgress, TransferReport } from './transfer-options.ts';

/** Work of the engine's that is yet to run. */
interface Job<Outcome> {
  run(): Promise<Outcome>;
  cancel(): void;
  progress(): Omit<TransferProgress, 'elapsedMs'>;
}

interface JobOutcome {
  readonly error?: BindingError;
  readonly report?: Omit<TransferReport, 'ioEngine'> & { readonly ioEngine: string };
}

const PROGRESS_INTERVAL_MS = 250;

/**
 * Runs work of the engine's. When the promise settles, all of its threads have ended.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} the first error that the engine met
 */
export async function runJob<Outcome extends JobOutcome>(
  job: Job<Outcome>,
  { signal, onProgress }: TransferOptions,
): Promise<{ readonly outcome: Outcome; readonly report: TransferReport }> {
  const startedAt = performance.now();
  const report = (): void =>
    tellListener(onProgress, () => ({ ...job.progress(), elapsedMs: performance.now() - startedAt }));
  const ticks = onProgress === undefined ? undefined : setInterval(report, PROGRESS_INTERVAL_MS);
  const listener = signal === undefined ? undefined : addAbortListener(signal, () => job.cancel());
  try {
    const outcome = await job.run();
    signal?.throwIfAborted();
    if (outcome.error !== undefined) throw toMappedRamError(outcome.error);
    if (outcome.report === undefined) {
      throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'the engine gave neither report nor error');
    }
    report();
    const ioEngine = outcome.report.ioEngine === 'io_uring' ? 'io_uring' : 'threads';
    return { outcome, report: { ...outcome.report, ioEngine } };
  } finally {
    clearInterval(ticks);
    listener?.[Symbol.dispose]();
  }
}
