import { MappedRamError } from '../errors.ts';
import { poolMode } from '../pool/pool-options.ts';
import { describeExit, type QemuProcess } from '../qemu/process/qemu-process.ts';
import type { CommandLineOption } from '../restore/command-line/options.ts';
import {
  compareWaiting,
  type Examined,
  type Fitting,
  type LoadedGuest,
  loadExamined,
  readyExamined,
} from '../restore/examine.ts';
import { ModeUnavailable } from '../restore/explain-start.ts';
import type { ReadyLoad } from '../restore/ahead/ready-load.ts';
import { letGoOn } from '../restore/go-on.ts';
import type { Mode } from '../restore/modes/mode.ts';
import type { RestoreMode } from '../restore/modes/modes.ts';
import type { AfterRestore } from '../restore/run-state.ts';
import { handHold, holdSnapshot } from '../restore/snapshot-lock.ts';
import {
  defaultAfter,
  prepare,
  type Prepared,
  refuseAbandoned,
  startPrepared,
} from '../restore/start-waiting.ts';
import type { StateStream } from '../restore/state-stream.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { CheckedForkOptions } from './fork-options.ts';
import type { ForkedGuest } from './forked-guest.ts';
import type { ForkSource } from './fork-source.ts';
import type { GlobalState } from '../stream/global-state.ts';

/** A clone's command line, and the answer of its QEMU about the machine's memory. */
export interface CloneLine {
  readonly index: number;
  readonly args: readonly string[];
  readonly commandLine: readonly CommandLineOption[];
  readonly defaultRam: { readonly id: string | undefined };
}

/** A clone that is loaded, and paused. */
export interface LoadedClone {
  readonly slot: ForkSlot;
  readonly examined: Examined;
  readonly loaded: LoadedGuest;
  /** Time at which the load began, by `performance.now()`. */
  readonly startedAt: number;
}

/** The state that all clones of a fork load. */
export interface ForkState {
  readonly snapshot: Snapshot;
  /** The run state that the snapshot records. */
  readonly recorded: GlobalState | undefined;
  readonly state: StateStream;
}

/** What a slot has before the fork. */
interface Ahead {
  readonly fitting: Fitting;
  readonly isLocked: boolean;
  readonly ready: ReadyLoad | undefined;
}

/** The mode of every clone: that of a pool's guests, who map a file, too. */
export const FORK_MODE: Mode<RestoreMode> = poolMode();

/** A QEMU that waits for a clone, with its memory mapped. */
export class ForkSlot {
  readonly index: number;
  readonly process: QemuProcess;
  /** The state that the clone is to have. */
  readonly after: AfterRestore;
  readonly #fitting: Fitting;
  /** True when QEMU holds a lock on the snapshot that it maps already. */
  readonly #isLocked: boolean;
  /** What QEMU has for its load already. */
  readonly #ready: ReadyLoad | undefined;
  readonly #prepared: Pick<Prepared, 'launch' | 'warnings'>;
  readonly #options: Pick<CheckedForkOptions, 'fdset' | 'timeoutMs'>;

  private constructor(
    index: number,
    process: QemuProcess,
    after: AfterRestore,
    { fitting, isLocked, ready }: Ahead,
    prepared: Pick<Prepared, 'launch' | 'warnings'>,
    options: CheckedForkOptions,
  ) {
    this.index = index;
    this.process = process;
    this.after = after;
    this.#fitting = fitting;
    this.#isLocked = isLocked;
    this.#ready = ready;
    this.#prepared = prepared;
    this.#options = options;
  }

  /**
   * Starts a QEMU, and makes sure that it fits the source. When this rejects, no process is left.
   * @throws {MappedRamError} as `prepareFork`
   */
  static async start(
    { mapped, form, guest, stream, watch }: ForkSource,
    { index, args, commandLine, defaultRam }: CloneLine,
    options: CheckedForkOptions,
    signal: AbortSignal,
  ): Promise<ForkSlot> {
    const { binary, stdio, timeoutMs } = options;
    const start = { binary, stdio, args, signal, timeoutMs, defaultRam, watch };
    await using prepared = await prepare(mapped, FORK_MODE, commandLine, start);
    const qemu = await startPrepared(FORK_MODE, prepared, start).catch(refuse);
    try {
      // QEMU has the file mapped by now.
      await prepared.memory[Symbol.asyncDispose]();
      refuseAbandoned(qemu);
      const { blocks } = prepared.launch;
      const place = { mode: FORK_MODE.name, blocks, guest, problems: [], timeoutMs, signal };
      const fitting = await compareWaiting(qemu.qmp, mapped, place);
      if (fitting.disks.length > 0) throw new MappedRamError('ERR_MAPPED_RAM_BUSY', fitting.disks.join('; '));
      const { launch, memory } = prepared;
      const warnings = [...prepared.warnings, ...memory.warnings];
      const after = options.after ?? defaultAfter(commandLine);
      // A file that is still to be filled must not be locked.
      const isLocked =
        form === 'delta' && holdSnapshot(mapped) && (await handHold(qemu.qmp, mapped, { timeoutMs, signal }));
      const { fdset } = options;
      const ready = await readyExamined(fitting, stream, { fdset, timeoutMs, signal, after: 'stop' });
      return new ForkSlot(index, qemu, after, { fitting, isLocked, ready }, { launch, warnings }, options);
    } catch (error) {
      await qemu.close();
      throw error;
    }
  }

  /** The blocks whose memory QEMU has mapped, by id. */
  get blocks(): readonly string[] {
    return this.#prepared.launch.blocks;
  }

  /** @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU does not wait any more */
  async assertWaits(): Promise<void> {
    if (!this.process.qmp.isOpen) throw await this.whenGone();
    refuseAbandoned(this.process);
  }

  /** Resolves when QEMU is gone, to the words for it. Never rejects. */
  async whenGone(): Promise<MappedRamError> {
    const { pid, exited } = this.process;
    const exit = await exited;
    return new MappedRamError(
      'ERR_MAPPED_RAM_QEMU',
      `its QEMU has ended before its time (process ${pid}): ${describeExit(exit, this.process.stderr)}`,
    );
  }

  /** Loads the clone, and leaves it paused. @throws {MappedRamError} as `attach`; QEMU is of no use then */
  async load({ snapshot, recorded, state }: ForkState, signal: AbortSignal): Promise<LoadedClone> {
    const startedAt = performance.now();
    const wait = { timeoutMs: this.#options.timeoutMs, signal };
    const { run } = this.#fitting;
    const locked = this.#isLocked || (holdSnapshot(snapshot) && (await handHold(run.qmp, snapshot, wait)));
    const examined = { ...this.#fitting, run: { ...run, snapshot }, recorded, locked };
    const { fdset } = this.#options;
    const how = { ...wait, fdset, state, ready: this.#ready, after: 'stop' } as const;
    const loaded = await loadExamined(examined, how);
    return { slot: this, examined, loaded, startedAt };
  }

  /**
   * Brings the loaded clone into the state that it is to have.
   * @param calledAt time of the call of the fork, by `performance.now()`
   */
  async letGoOn(
    { examined, loaded, startedAt }: LoadedClone,
    calledAt: number,
    signal: AbortSignal,
  ): Promise<{ readonly guest: ForkedGuest; readonly readyAt: number }> {
    const { index, process, after } = this;
    const { launch, warnings } = this.#prepared;
    const wait = { timeoutMs: this.#options.timeoutMs, signal };
    const { readyAt, ...guest } = await letGoOn(examined, loaded, after, wait);
    const times = {
      prepareMs: startedAt - calledAt,
      startMs: 0,
      loadMs: loaded.loadMs,
      totalMs: readyAt - calledAt,
    };
    return {
      readyAt,
      guest: {
        ...guest,
        index,
        warnings: [...warnings, ...guest.warnings],
        loadMs: loaded.loadMs,
        elapsedMs: readyAt - startedAt,
        qemu: process,
        args: launch.args,
        transfer: undefined,
        workingSet: undefined,
        times,
        [Symbol.asyncDispose]: () => process.close(),
      },
    };
  }

  /** Takes back what QEMU had for its load. */
  async takeBack(): Promise<void> {
    await this.#ready?.[Symbol.asyncDispose]();
  }

  /** Ends QEMU, and waits until it is gone. */
  close(): Promise<void> {
    return this.process.close();
  }
}

/** A fork has no other mode to take. */
function refuse(error: unknown): never {
  throw error instanceof ModeUnavailable ? error.refusal : error;
}
