import { readFileSync } from 'node:fs';

import { CpuTime } from './cpu-time.ts';

/** Milliseconds between two looks: far below any round's time, and the looks take a hundredth of a processor. */
const SAMPLE_MS = 5;
const KIB = 1024;

/** What a process took while it was metered. A figure that could not be had is undefined. */
export interface ProcessFigures {
  /** Milliseconds of CPU time, user and system, of the process and its threads. */
  readonly cpuMs: number | undefined;
  /**
   * The most bytes of anonymous memory that the process was seen to have resident. Shared memory and files do not count:
   * a guest's memory in /dev/shm is neither QEMU's need nor ours.
   */
  readonly peakBytes: number | undefined;
}

/** A process under way. */
export interface ProcessMeter extends Disposable {
  /** Ends the metering. The process must still be there, or have ended a moment ago and not be reaped. */
  end(): ProcessFigures;
}

/**
 * Meters a process from this call to `end()`. Both figures come from /proc, which is looked at every 5 ms: CPU time see
 * {@link CpuTime}, memory is RssAnon. The kernel's own high-water mark (VmHWM) counts shared memory, too, and so says
 * nothing of a QEMU. Disposal ends the looks; it may follow `end()`.
 *
 * @param pid a process that this one has started and not reaped yet
 */
export function meterProcess(pid: number): ProcessMeter {
  const cpu = new CpuTime(pid);
  let peak = anonymousBytes(pid);
  const look = (): void => {
    cpu.sample();
    const bytes = anonymousBytes(pid);
    if (bytes !== undefined && (peak === undefined || bytes > peak)) peak = bytes;
  };
  const timer = setInterval(look, SAMPLE_MS);
  const stop = (): void => clearInterval(timer);
  return {
    end: () => {
      stop();
      look();
      return { cpuMs: cpu.end(), peakBytes: peak };
    },
    [Symbol.dispose]: stop,
  };
}

/** Bytes of anonymous memory that a process has resident; undefined when it is gone, or where there is no /proc. */
export function anonymousBytes(pid: number): number | undefined {
  try {
    const kibibytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * KIB;
  } catch {
    // It has ended.
    return undefined;
  }
}
