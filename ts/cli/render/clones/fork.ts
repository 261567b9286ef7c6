import type { Fork, ForkTimes } from '../../../fork/forked-guest.ts';
import { keyValues } from '../columns.ts';
import { printable } from '../format.ts';
import type { Style } from '../style.ts';

/** The facts about a clone that lines and --json show. */
interface CloneReport {
  readonly index: number;
  readonly pid: number;
  readonly runState: string;
  readonly loadMs: number;
  readonly warnings: readonly string[];
}

/** The facts about a fork that lines and --json show. */
interface ForkReport extends Pick<Fork, 'form' | 'base' | 'bytes' | 'pauseMs' | 'writer' | 'writerWhy'> {
  readonly clones: readonly CloneReport[];
  readonly warnings: readonly string[];
  readonly times: ForkTimes;
}

const MIB = 2 ** 20;

export function forkReport(forked: Fork): ForkReport {
  const { form, base, bytes, pauseMs, writer, writerWhy, warnings, times } = forked;
  const clones = forked.guests.map(({ index, qemu, runState, times: { loadMs }, warnings: own }) => ({
    index,
    pid: qemu.pid,
    runState,
    loadMs,
    warnings: own,
  }));
  return { form, base, bytes, pauseMs, writer, writerWhy, clones, warnings, times };
}

/** Shows a fork to people. */
export function forkLines(report: ForkReport, style: Style): readonly string[] {
  const { form, base, bytes, pauseMs, clones, warnings, times } = report;
  const size = `${(bytes / MIB).toFixed(1)} MiB`;
  const memory =
    form === 'delta'
      ? `${size} of changes for each clone, the rest mapped out of ${base}`
      : `${size}, which the clones share`;
  const doubts = [
    ...warnings,
    ...clones.flatMap((clone) => clone.warnings.map((words) => `clone ${clone.index}: ${words}`)),
  ];
  return [
    ...keyValues(
      [
        [
          'clones',
          clones.map(({ index, pid, runState }) => `${index} ${runState} (process ${pid})`).join(', '),
        ],
        ['memory', printable(memory)],
        ['pause', pauseMs === undefined ? 'the guest stood still before' : `${pauseMs.toFixed(1)} ms`],
        [
          'total',
          `${times.totalMs.toFixed(0)} ms, of which the start of QEMU ${times.prepareMs.toFixed(0)} ms`,
        ],
      ],
      style,
    ),
    ...doubts.map((warning) => `${style('yellow', 'warning:')} ${printable(warning)}`),
  ];
}
