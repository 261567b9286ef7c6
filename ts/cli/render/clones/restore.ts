import type { TransferReport } from '../../../engine/transfer-options.ts';
import type { AttachResult } from '../../../restore/examine.ts';
import type { LazyReport } from '../../../restore/postcopy/lazy-memory.ts';
import { modeOf } from '../../../restore/modes/modes.ts';
import type { RestoreTimes } from '../../../restore/restore.ts';
import { keyValues } from '../columns.ts';
import type { ReadingAhead } from '../../../working-set/read-working-set-ahead.ts';
import { formatSize, printable } from '../format.ts';
import { planReport } from '../plan.ts';
import type { Style } from '../style.ts';
import { transferLines } from '../transfer.ts';

/** The facts of a restore that lines and --json show. */
export interface RestoreReport extends Omit<AttachResult, 'plan' | 'memory' | 'memoryComplete'> {
  readonly times?: RestoreTimes;
  readonly transfer?: TransferReport | undefined;
  /** The working set that is read ahead; undefined where there is none. */
  readonly workingSet?: Omit<ReadingAhead, 'whenAsked'> | undefined;
  /** The plan, in the form that the report of a save has. */
  readonly plan: object;
}

export function reportOf(result: AttachResult): RestoreReport {
  const { mode, runState, blocks, form, why, warnings, locked, loadMs, elapsedMs } = result;
  const plan = planReport(result.plan);
  return { mode, runState, blocks, form, why, plan, warnings, locked, loadMs, elapsedMs };
}

/** Shows the result of a restore to people. */
export function restoreLines(report: RestoreReport, style: Style): readonly string[] {
  const { mode, runState, blocks, form, why, warnings, loadMs, times, transfer, workingSet } = report;
  const memory = blocks.length > 0 ? blocks.join(', ') : 'all blocks';
  return [
    ...keyValues(
      [
        ['guest', runState],
        ['memory', printable(`${memory} ${modeOf(mode).outcome}`)],
        ['QEMU read', printable(`${form === 'stream' ? 'a plain stream' : 'the mapped-ram file'}: ${why}`)],
        ...(transfer === undefined ? [] : transferLines(transfer, 'read')),
        ...(workingSet === undefined ? [] : [['working set', workingSetWords(workingSet)] as const]),
        ['load', `${loadMs.toFixed(1)} ms`],
        ...(times === undefined ? [] : [['total', `${times.totalMs.toFixed(0)} ms`] as const]),
      ],
      style,
    ),
    ...warnings.map((warning) => `${style('yellow', 'warning:')} ${printable(warning)}`),
  ];
}

function workingSetWords({ path, bytes }: Omit<ReadingAhead, 'whenAsked'>): string {
  const what = bytes === 0 ? 'in the page cache already' : `${formatSize(bytes)} read ahead`;
  return `${what} (${printable(path)})`;
}

/** Says that a memory is complete that has followed its guest. */
export function memoryWords({ completeMs, requests, answerMicroseconds }: LazyReport): string {
  const waits =
    answerMicroseconds === undefined || requests === 0
      ? ''
      : ` (answered within ${answerMicroseconds.p50.toFixed(0)} µs at the median, ${answerMicroseconds.p99.toFixed(0)} µs at p99)`;
  return `memory complete after ${completeMs.toFixed(0)} ms, ${requests} pages asked for${waits}`;
}
