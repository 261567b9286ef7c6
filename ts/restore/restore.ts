import { assertOptions, assertTexts } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import { DEFAULT_BINARY, type QemuProcessOptions, QemuProcess } from '../qemu/process/qemu-process.ts';
import { closingWrapper } from '../qemu/process/wrappers.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { assertOptionsFor, assertRestoreWords } from './assert-options.ts';
import { assertStateFor } from './assert-state.ts';
import { attach, type AttachOptions, type AttachResult } from './attach.ts';
import { askDefaultRam } from './command-line/ask-default-ram.ts';
import { type LaunchArguments, LaunchPlan } from './command-line/launch-plan.ts';
import { type CommandLineOption, parseCommandLine } from './command-line/options.ts';
import { explainStart, ModeUnavailable } from './explain-start.ts';
import { holdSnapshot } from './snapshot-lock.ts';
import { standardMonitor } from './command-line/standard-monitor.ts';
import { refuseMemoryInUse } from './memory-in-use.ts';
import type { Mode, PreparedMemory } from './modes/mode.ts';
import { DEFAULT_MODE, modeOf, type RestoreMode } from './modes/modes.ts';
import type { PrepareOptions } from './options.ts';
import { assertComesUp } from './recorded-state.ts';
import type { ReadingAhead } from '../working-set/read-working-set-ahead.ts';
import { readAhead } from './read-ahead.ts';
import { openStateStream, type StateStream } from './state-stream.ts';

export interface RestoreOptions
  extends
    Omit<AttachOptions, 'mode' | 'blocks'>,
    PrepareOptions,
    Pick<QemuProcessOptions, 'binary' | 'args' | 'stdio'> {
  /**
   * The mode, which decides where the guest's memory comes from.
   * @default 'instant'; where QEMU lacks what that needs, the first mode that it has, and a warning says why
   */
  readonly mode?: RestoreMode | undefined;
}

export interface RestoreTimes {
  /** Milliseconds from the call to the start of QEMU: opening, and loading with `preload`. */
  readonly prepareMs: number;
  /** Milliseconds until QEMU answers on QMP; the state stream is made meanwhile. */
  readonly startMs: number;
  /** Milliseconds from the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** Milliseconds from the call to the guest in the state asked for. */
  readonly totalMs: number;
}

/** A guest that was restored into a QEMU of our own. Disposal ends QEMU. */
export interface RestoredGuest extends AttachResult, AsyncDisposable {
  readonly qemu: QemuProcess;
  /** The command line that QEMU was started with, without the binary. */
  readonly args: readonly string[];
  readonly times: RestoreTimes;
  /** The engine's report on loading the memory; `preload` only. */
  readonly transfer: TransferReport | undefined;
  /** The working set that is read ahead; `instant` only, where there is one. */
  readonly workingSet: ReadingAhead | undefined;
}

/**
 * Starts a QEMU that continues a guest from its snapshot. The command line is that of the fresh guest; the mode adds
 * what it needs (see `launchArguments`). When this rejects, no process, file or descriptor is left.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the snapshot does not go with the command line or with
 *   the QEMU that it starts, naming every reason, or for options that have no use in the mode; ERR_MAPPED_RAM_QEMU when
 *   QEMU does not start, or fails; and as `attach` and `preloadRam`
 */
export async function restore(
  source: SnapshotSource | Snapshot,
  options: RestoreOptions,
): Promise<RestoredGuest> {
  const startedAt = performance.now();
  assertOptions(options);
  assertTexts('args', options.args);
  const { signal } = options;
  const mode = modeOf(options.mode ?? DEFAULT_MODE);
  signal?.throwIfAborted();
  assertRestoreWords(options);
  assertOptionsFor(mode, options);
  return usingSnapshot(source, signal, async (snapshot) => {
    try {
      return await restoreSnapshot(snapshot, mode, options, startedAt);
    } catch (error) {
      if (!(error instanceof ModeUnavailable)) throw error;
      const { alternative, refusal, words } = error;
      const isNamed = options.mode !== undefined || options.state !== undefined;
      if (isNamed || alternative === undefined) throw refusal;
      const restored = await restoreSnapshot(snapshot, modeOf(alternative), options, startedAt);
      return { ...restored, warnings: [words, ...restored.warnings] };
    }
  });
}

async function restoreSnapshot(
  snapshot: Snapshot,
  mode: Mode<RestoreMode>,
  options: RestoreOptions,
  startedAt: number,
): Promise<RestoredGuest> {
  snapshot.completeRam(mode.takesUnmeasured);
  holdSnapshot(snapshot);
  const commandLine = parseCommandLine(options.args);
  const waits = commandLine.some(({ name }) => name === 'S');
  const after = options.after ?? (waits ? 'stop' : 'cont');
  await assertComesUp(snapshot, after);
  await using prepared = await prepare(snapshot, mode, commandLine, options);
  const { memory, launch } = prepared;
  const preparedAt = performance.now();
  await using ahead = await readAhead(snapshot, mode, options);
  await using started = await startWithState(snapshot, mode, prepared, options);
  const { qemu, state } = started;
  try {
    const answeredAt = performance.now();
    // QEMU has the files mapped by now.
    await memory[Symbol.asyncDispose]();
    const { blocks } = launch;
    refuseAbandoned(qemu);
    const attached = await attach(qemu.qmp, snapshot, { ...options, blocks, mode: mode.name, after, state });
    refuseAbandoned(qemu);
    return {
      ...attached,
      warnings: [...prepared.warnings, ...ahead.warnings, ...memory.warnings, ...attached.warnings],
      qemu,
      args: launch.args,
      transfer: memory.report,
      workingSet: ahead.goOn(),
      times: {
        prepareMs: preparedAt - startedAt,
        startMs: answeredAt - preparedAt,
        loadMs: attached.loadMs,
        totalMs: answeredAt - startedAt + attached.elapsedMs,
      },
      [Symbol.asyncDispose]: async () => {
        await ahead.end();
        await qemu.close();
      },
    };
  } catch (error) {
    await qemu.close();
    throw error;
  }
}

interface Prepared extends AsyncDisposable {
  readonly memory: PreparedMemory;
  readonly launch: LaunchArguments;
  readonly warnings: readonly string[];
}

/** Prepares the memory, and works out the command line. */
async function prepare(
  snapshot: Snapshot,
  mode: Mode,
  commandLine: readonly CommandLineOption[],
  options: RestoreOptions,
): Promise<Prepared> {
  refuseDaemon(commandLine);
  // A defect of the command line or the state is reported before gigabytes are loaded.
  const plan = new LaunchPlan(
    snapshot,
    mode,
    commandLine,
    await askDefaultRam(snapshot, mode, commandLine, options),
  );
  if (options.state !== undefined) assertStateFor(options.state, snapshot, mode, plan.blocks);
  // QEMU would touch the files as it starts; `attach` looks again, at the files that QEMU has.
  await refuseMemoryInUse(plan.sharedFiles, { runs: false, pid: undefined });
  const blocks = plan.backends.map(({ block }) => block);
  const memory = await mode.prepare(snapshot, blocks, {
    ...options,
    closedBy: closingWrapper([options.binary ?? '', ...options.args]),
  });
  try {
    const { args, ...launch } = plan.launchWith(memory.files);
    // The QMP monitor of ours would take the standard one away.
    const all = [...args, ...standardMonitor(commandLine)];
    return {
      memory,
      launch: { ...launch, args: all },
      warnings: plan.warnings,
      [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
    };
  } catch (error) {
    await memory[Symbol.asyncDispose]();
    throw error;
  }
}

interface Started extends AsyncDisposable {
  readonly qemu: QemuProcess;
  /** The state stream; undefined when the mode has no use for one. */
  readonly state: StateStream | undefined;
}

/** Makes the state stream while QEMU starts. When one of them fails, the other ends. */
async function startWithState(
  snapshot: Snapshot,
  mode: Mode,
  { memory, launch: { args, blocks } }: Prepared,
  { binary, stdio, signal, timeoutMs, state: given }: RestoreOptions,
): Promise<Started> {
  const failed = new AbortController();
  const signals = [failed.signal, ...(signal === undefined ? [] : [signal])];
  const either = AbortSignal.any(signals);
  const giveUp = (error: unknown): never => {
    failed.abort(error);
    throw error;
  };
  const make = async (): Promise<StateStream | undefined> =>
    mode.state === undefined || given !== undefined
      ? given
      : openStateStream(snapshot, { inPlace: blocks, mapped: mode.state.mapped, signal: either });
  const [qemu, state] = await Promise.allSettled([
    QemuProcess.start({ binary, args, stdio, inherit: memory.descriptors, signal: either, timeoutMs })
      .catch((error: unknown) =>
        explainStart(error, mode, { binary: binary ?? DEFAULT_BINARY, signal: either }),
      )
      .catch(giveUp),
    make().catch(giveUp),
  ]);
  const close = async (): Promise<void> => {
    if (given === undefined && state.status === 'fulfilled') await state.value?.close();
  };
  if (qemu.status === 'fulfilled' && state.status === 'fulfilled') {
    return { qemu: qemu.value, state: state.value, [Symbol.asyncDispose]: close };
  }
  if (qemu.status === 'fulfilled') await qemu.value.close();
  await close();
  signal?.throwIfAborted();
  throw failed.signal.reason;
}

/** A guest whose end nobody sees would be ended as soon as its restore is done. */
function refuseAbandoned(qemu: QemuProcess): void {
  if (!qemu.isAbandoned) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_QEMU',
    'the program that starts QEMU has ended and left QEMU behind: let it wait for QEMU, or start QEMU with it yourself and use attach',
  );
}

function refuseDaemon(commandLine: readonly CommandLineOption[]): void {
  if (!commandLine.some(({ name }) => name === 'daemonize')) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'a QEMU that daemonizes leaves its parent: leave -daemonize out, or start it yourself and use attach',
  );
}
