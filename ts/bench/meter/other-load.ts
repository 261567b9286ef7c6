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
   * @param cpuMs the CPU time of the work itself, out of its outcome: that of another process than this one
   */
  async during<T>(work: () => Promise<T>, cpuMs: (outcome: T) => number | undefined): Promise<T> {
    const [before, own, start] = [await busyMs(), process.cpuUsage(), performance.now()];
    const outcome = await work();
    const [after, { user, system }, end] = [await busyMs(), process.cpuUsage(own), performance.now()];
    const used = cpuMs(outcome);
    if (before === undefined || after === undefined || used === undefined) return outcome;
    this.#elapsedMs += end - start;
    this.#othersMs += after - before - used - (user + system) / 1000;
    return outcome;
  }

  /** The number of processors, 0.97 for a loop that never waits; undefined where that cannot be known. */
  get processors(): number | undefined {
    return this.#elapsedMs === 0 ? undefined : Math.max(0, this.#othersMs / this.#elapsedMs);
  }
}

/** Milliseconds for which processors were busy since the system started; undefined where nobody tells. */
async function busyMs(): Promise<number | undefined> {
  const text = await readFile('/proc/stat', 'latin1').catch(() => '');
  const [name, ...ticks] = text.slice(0, text.indexOf('\n')).split(/\s+/);
  if (name !== 'cpu') return undefined;
  return BUSY.reduce((total, column) => total + Number(ticks[column] ?? 0), 0) * TICK_MS;
}
