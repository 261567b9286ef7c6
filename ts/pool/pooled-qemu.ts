import { MappedRamError } from '../errors.ts';
import { describeExit, type QemuProcess } from '../qemu/process/qemu-process.ts';
import { type Examined, loadExamined, type LoadedGuest } from '../restore/examine.ts';
import type { LoadOptions } from '../restore/options.ts';
import { letGoOn } from '../restore/go-on.ts';
import type { RestoredGuest } from '../restore/restore.ts';
import type { AfterRestore } from '../restore/run-state.ts';
import { refuseAbandoned } from '../restore/start-waiting.ts';
import type { ReadingAhead } from '../working-set/read-working-set-ahead.ts';

/**
 * A guest out of a pool: the same as one of `restore`, and the caller's, also when the pool is closed. Its `times` count
 * from the call of `take`: `prepareMs` is what it waited for a QEMU, and `startMs` is 0, because QEMU had started.
 */
export interface PooledGuest extends RestoredGuest {
  /** The guest's number, with which its command line was made. No other guest of the pool has it while QEMU lives. */
  readonly index: number;
}

/** A QEMU that waits in a pool. */
interface Waiting {
  readonly index: number;
  readonly process: QemuProcess;
  /** The command line that QEMU was started with, without the binary. */
  readonly args: readonly string[];
  readonly examined: Examined;
  /** The guest that is loaded and paused; undefined while only its memory is mapped. */
  readonly loaded: LoadedGuest | undefined;
  /** The state that the guest is to have when it is taken. */
  readonly after: AfterRestore;
  readonly options: Pick<LoadOptions, 'state' | 'fdset' | 'timeoutMs'>;
  /** The working set that was read ahead when the pool was made. */
  readonly workingSet: ReadingAhead | undefined;
  /** Doubts about the command line, and about the working set, in words. */
  readonly warnings: readonly string[];
}

/** A QEMU that waits in a pool, until somebody takes it or it dies. */
export class PooledQemu {
  readonly index: number;
  readonly process: QemuProcess;
  /** Time from which it waits, by `performance.now()`. */
  readonly since: number = performance.now();
  readonly #waiting: Waiting;

  constructor(waiting: Waiting) {
    this.index = waiting.index;
    this.process = waiting.process;
    this.#waiting = waiting;
  }

  /** Milliseconds for which this QEMU has waited. */
  get waitedMs(): number {
    return performance.now() - this.since;
  }

  /** True when nobody answers any more. */
  get isGone(): boolean {
    return !this.process.qmp.isOpen;
  }

  /** Resolves when QEMU is gone, to the words for it. Never rejects. */
  async whenGone(): Promise<MappedRamError> {
    const exit = await this.process.exited;
    return new MappedRamError(
      'ERR_MAPPED_RAM_QEMU',
      `a QEMU of the pool has ended while it waited (guest ${this.index}, process ${this.process.pid}): ${describeExit(exit, this.process.stderr)}`,
    );
  }

  /**
   * Brings the guest into the state that it is to have.
   * @param calledAt time of the call that the guest is for, by `performance.now()`
   * @throws {MappedRamError} as `attach`; QEMU is of no use then
   */
  async run(calledAt: number, signal: AbortSignal): Promise<PooledGuest> {
    const takenAt = performance.now();
    const { index, process, args, examined, warnings, options, after } = this.#waiting;
    refuseAbandoned(process);
    const wait = { timeoutMs: options.timeoutMs, signal };
    const { readyAt, ...guest } =
      this.#waiting.loaded === undefined
        ? await loadExamined(examined, { ...options, ...wait, after })
        : await letGoOn(examined, this.#waiting.loaded, after, wait);
    await process.letOutlive();
    return {
      ...guest,
      index,
      warnings: [...warnings, ...guest.warnings],
      elapsedMs: readyAt - takenAt,
      qemu: process,
      args,
      transfer: undefined,
      workingSet: this.#waiting.workingSet,
      times: {
        prepareMs: takenAt - calledAt,
        startMs: 0,
        loadMs: guest.loadMs,
        totalMs: readyAt - calledAt,
      },
      [Symbol.asyncDispose]: () => process.close(),
    };
  }

  /** Ends QEMU, and waits until it is gone. */
  close(): Promise<void> {
    return this.process.close();
  }
}
