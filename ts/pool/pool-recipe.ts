import { MappedRamError } from '../errors.ts';
import { waitWithin } from '../host/wait-within.ts';
import type { QemuProcess } from '../qemu/process/qemu-process.ts';
import { WaitingWatch } from '../qemu/process/waiting-watch.ts';
import { askDefaultRam } from '../restore/command-line/ask-default-ram.ts';
import { LaunchPlan } from '../restore/command-line/launch-plan.ts';
import { parseCommandLine } from '../restore/command-line/options.ts';
import { examine, loadExamined } from '../restore/examine.ts';
import { ModeUnavailable } from '../restore/explain-start.ts';
import type { Mode } from '../restore/modes/mode.ts';
import type { RestoreMode } from '../restore/modes/modes.ts';
import { type Ahead, readAhead } from '../restore/read-ahead.ts';
import { assertComesUp } from '../restore/recorded-state.ts';
import type { AfterRestore } from '../restore/run-state.ts';
import { holdSnapshot } from '../restore/snapshot-lock.ts';
import {
  defaultAfter,
  prepare,
  type Prepared,
  refuseAbandoned,
  startWithState,
} from '../restore/start-waiting.ts';
import { openStateStream, type StateStream, type StateStreamOptions } from '../restore/state-stream.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { late } from './pool-errors.ts';
import { argsOf, type CheckedPoolOptions } from './pool-options.ts';
import { PooledQemu } from './pooled-qemu.ts';
import { refuseSharedDisks } from './shared-disks.ts';

/** What all guests of a pool have in common. It is made, and checked, before the first process is started. */
interface Common {
  readonly snapshot: Snapshot;
  readonly isOurs: boolean;
  readonly mode: Mode<RestoreMode>;
  readonly state: StateStream | undefined;
  readonly ahead: Ahead;
  readonly defaultRam: { readonly id: string | undefined };
  /** Command lines that were made for the checks, by number. */
  readonly made: Map<number, readonly string[]>;
}

/** Starts the QEMUs of a pool, each until it waits. Disposal closes the snapshot and the state that they share. */
export class PoolRecipe implements AsyncDisposable {
  readonly #options: CheckedPoolOptions;
  readonly #common: Common;
  /** Ends the QEMUs that wait, should this process be killed. */
  readonly #watch: WaitingWatch = WaitingWatch.start();

  private constructor(options: CheckedPoolOptions, common: Common) {
    this.#options = options;
    this.#common = common;
  }

  /**
   * Checks snapshot and command lines, and makes the state that every guest loads.
   * @throws {MappedRamError} as `createPool`
   */
  static async make(
    source: SnapshotSource | Snapshot,
    mode: Mode<RestoreMode>,
    options: CheckedPoolOptions,
  ): Promise<PoolRecipe> {
    const isOurs = !(source instanceof Snapshot);
    const snapshot = source instanceof Snapshot ? source : await Snapshot.open(source);
    try {
      const { defaultRam, made, blocks } = await check(snapshot, mode, options);
      const { signal } = options;
      // Once for all guests. The caller's signal has no meaning any more when the pool is made.
      const ahead = await readAhead(snapshot, mode, { workingSet: options.workingSet });
      const state = await makeState(snapshot, mode, { inPlace: blocks, signal }).catch(async (error) => {
        await ahead.end();
        throw error;
      });
      return new PoolRecipe(options, { snapshot, isOurs, mode, state, ahead, defaultRam, made });
    } catch (error) {
      if (isOurs) await snapshot.close();
      throw error;
    }
  }

  /**
   * Starts a QEMU, and brings it to where it waits. When this rejects, no process is left.
   * @throws {MappedRamError} as `restore`; ERR_MAPPED_RAM_BUSY when another QEMU has a disk of this guest's
   */
  async start(index: number, signal: AbortSignal): Promise<PooledQemu> {
    const { snapshot, mode, made } = this.#common;
    // Whoever closes the pool does not wait for the caller's function.
    const asked = made.get(index) ?? argsOf(this.#options, index);
    made.delete(index);
    const args = await waitWithin(Promise.resolve(asked), { signal }, () => late(undefined));
    const commandLine = parseCommandLine(args);
    const after = this.#options.after ?? defaultAfter(commandLine);
    const { binary, stdio, timeoutMs } = this.#options;
    const { state, defaultRam } = this.#common;
    const watch = this.#watch;
    const start = { binary, stdio, args, signal, timeoutMs, state, defaultRam, watch };
    await using prepared = await prepare(snapshot, mode, commandLine, start);
    const { qemu } = await startWithState(snapshot, mode, prepared, start).catch(refuse);
    try {
      // QEMU has the files mapped by now.
      await prepared.memory[Symbol.asyncDispose]();
      return await this.#bring(qemu, prepared, { index, after, signal });
    } catch (error) {
      await qemu.close();
      throw error;
    }
  }

  /** Brings a QEMU that has started to where it waits. */
  async #bring(
    qemu: QemuProcess,
    { launch, warnings, memory }: Prepared,
    { index, after, signal }: { index: number; after: AfterRestore; signal: AbortSignal },
  ): Promise<PooledQemu> {
    const { snapshot, mode, state, ahead } = this.#common;
    const { fdset, timeoutMs, wait } = this.#options;
    refuseAbandoned(qemu);
    const options = { state, fdset, timeoutMs };
    const place = { mode: mode.name, blocks: launch.blocks };
    const examined = await examine(qemu.qmp, snapshot, { ...options, ...place, after, signal });
    if (examined.disks.length > 0) {
      throw new MappedRamError('ERR_MAPPED_RAM_BUSY', `guest ${index}: ${examined.disks.join('; ')}`);
    }
    const loaded =
      wait === 'loaded' ? await loadExamined(examined, { ...options, after: 'stop', signal }) : undefined;
    refuseAbandoned(qemu);
    return new PooledQemu({
      index,
      process: qemu,
      args: launch.args,
      examined,
      loaded,
      after,
      options,
      workingSet: ahead.goOn(),
      warnings: [...warnings, ...ahead.warnings, ...memory.warnings, ...this.#watch.warnings],
    });
  }

  /** Closes what the guests share. QEMUs that have it go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { state, isOurs, snapshot, ahead } = this.#common;
    await this.#watch[Symbol.asyncDispose]();
    await ahead.end();
    await state?.close();
    if (isOurs) await snapshot.close();
  }
}

function makeState(
  snapshot: Snapshot,
  { state }: Mode,
  options: Pick<StateStreamOptions, 'inPlace' | 'signal'>,
): Promise<StateStream | undefined> {
  return state === undefined
    ? Promise.resolve(undefined)
    : openStateStream(snapshot, { ...options, mapped: state.mapped });
}

/** Checks everything that can be checked without a QEMU. */
async function check(
  snapshot: Snapshot,
  mode: Mode<RestoreMode>,
  options: CheckedPoolOptions,
): Promise<Pick<Common, 'defaultRam' | 'made'> & { readonly blocks: readonly string[] }> {
  const { signal } = options;
  snapshot.completeRam(mode.takesUnmeasured);
  holdSnapshot(snapshot);
  const [args, otherArgs] = [await argsOf(options, 0), await argsOf(options, 1)];
  signal?.throwIfAborted();
  const [first, second] = [parseCommandLine(args), parseCommandLine(otherArgs)];
  refuseSharedDisks([first, second], 'two guests of the pool');
  for (const commandLine of [first, second]) {
    await assertComesUp(snapshot, options.after ?? defaultAfter(commandLine));
  }
  const id = await askDefaultRam(snapshot, mode, first, options);
  const [plan] = [first, second].map(
    (commandLine) => new LaunchPlan(snapshot, mode, commandLine, { defaultRam: id }),
  );
  return {
    blocks: plan?.blocks ?? [],
    defaultRam: { id },
    made: new Map([
      [0, args],
      [1, otherArgs],
    ]),
  };
}

/** A pool has no other mode to take. */
function refuse(error: unknown): never {
  throw error instanceof ModeUnavailable ? error.refusal : error;
}
