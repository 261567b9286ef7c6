import { readFile } from 'node:fs/promises';

/** Milliseconds of one tick of /proc/stat: the kernel shows a hundred per second, whatever it counts by itself. */
const TICK_MS = 10;
/** The columns of /proc/stat in which a processor does something: user, nice, system, irq, softirq, steal. */
const BUSY: readonly number[] = [0, 1, 2, 5, 6, 7];

/** Finds out how many processors other programs keep busy, on average, while something is measured. */
export class OtherLoad {
  #elapsedMs = 0;
  #othersMs = 0;

  /**
   * Does a part of the work.
   * @param cpuMs the CPU time of the work itself, out of its outcome
   * @param isHere true when that has the CPU time of this process in it
   */
  async during<T>(
    work: () => Promise<T>,
    cpuMs: (outcome: T) => number | undefined,
    isHere = false,
  ): Promise<T> {
    const [before, own, start] = [await busyMs(), process.cpuUsage(), performance.now()];
    const outcome = await work();
    const [after, { user, system }, end] = [await busyMs(), process.cpuUsage(own), performance.now()];
    const used = cpuMs(outcome);
    if (before === undefined || after === undefined || used === undefined) return outcome;
    this.#elapsedMs += end - start;
    this.#othersMs += after - before - used - (isHere ? 0 : (user + system) / 1000);
    return outcome;
  }

  /** The number of processors, 0.97 for a loop that never waits; undefined where that cannot be known. */
  get processors(): number | undefined {
    return this.#elapsedMs === 0 ? undefined : Math.max(0, this.#othersMs / this.#elapsedMs);
  }
}

/** Milliseconds for which the processors that this process may use were busy since the start; undefined where nobody tells. */
async function busyMs(): Promise<number | undefined> {
  const [stat, status] = await Promise.all(
    ['/proc/stat', '/proc/self/status'].map((path) => readFile(path, 'latin1').catch(() => '')),
  );
  // A container may have two processors of sixty-four: what others do on the rest is nothing to it.
  const allowed = /^Cpus_allowed_list:\s+(\S+)$/m.exec(status ?? '')?.[1];
  if (allowed === undefined) return undefined;
  const isAllowed = (processor: number): boolean =>
    allowed.split(',').some((range) => {
      const [first, last = first] = range.split('-').map(Number);
      return first !== undefined && last !== undefined && first <= processor && processor <= last;
    });
  const lines = (stat ?? '').split('\n').flatMap((line) => {
    const [, processor, ticks] = /^cpu(\d+) (.*)$/.exec(line) ?? [];
    return processor !== undefined && ticks !== undefined && isAllowed(Number(processor))
      ? [ticks.split(' ')]
      : [];
  });
  if (lines.length === 0) return undefined;
  const busy = lines.map((ticks) => BUSY.reduce((total, column) => total + Number(ticks[column] ?? 0), 0));
  return busy.reduce((total, ticks) => total + ticks, 0) * TICK_MS;
}
