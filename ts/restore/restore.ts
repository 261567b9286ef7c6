import { MappedRamError } from '../errors.ts';
import type { RestoreMode } from '../negotiate/plan.ts';
import { type QemuProcessOptions, QemuProcess } from '../qemu/qemu-process.ts';
import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import { procPath } from '../io/anonymous-file.ts';
import { assertOptionsFor } from './assert-options.ts';
import { attach, type AttachOptions, type AttachResult } from './attach.ts';
import { parseCommandLine } from './command-line/options.ts';
import { type LaunchArguments, launchArgumentsFor } from './command-line/launch-arguments.ts';
import { planMemory } from './command-line/memory-plan.ts';
import { type PreloadedRam, type PreloadOptions, preloadRam, roomProblem } from './preload.ts';
import { holdSnapshot } from './snapshot-lock.ts';
import { assertStateFor } from './snapshot-identity.ts';
import { standardMonitor } from './command-line/standard-monitor.ts';
import { openStateStream, type StateStream } from './state-stream.ts';

export interface RestoreOptions
  extends Omit<AttachOptions, 'mode' | 'blocks'>, Pick<QemuProcessOptions, 'binary' | 'args' | 'stdio'> {
  /** Where the guest's memory comes from. @default 'instant' */
  readonly mode?: RestoreMode | undefined;
  /** Where `preload` keeps the memory, and no other mode: on tmpfs, or a hugetlbfs mount. @default '/dev/shm' */
  readonly ramDirectory?: string | undefined;
  /** How `preload` reads the snapshot. No other mode has a use for more than `auto`. */
  readonly transfer?: Omit<PreloadOptions, 'blocks' | 'directory' | 'signal'> | undefined;
}

export interface RestoreTimes {
  /** Milliseconds from the call to QEMU being started: opening, and loading with `preload`. */
  readonly prepareMs: number;
  /** Until it answers on QMP; the state stream is made meanwhile. */
  readonly startMs: number;
  /** From the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** From the call to the guest in the state asked for. */
  readonly totalMs: number;
}

/** A guest that was restored into a QEMU of our own. Disposing of it ends QEMU. */
export interface RestoredGuest extends AttachResult, AsyncDisposable {
  readonly qemu: QemuProcess;
  /** The command line it was started with, without the binary. */
  readonly args: readonly string[];
  readonly times: RestoreTimes;
  /** How `preload` loaded the memory. */
  readonly transfer: TransferReport | undefined;
}

/**
 * Starts a QEMU that goes on where a snapshot was taken. The command line is that of the guest when it was fresh; what
 * the mode needs is added (see `launchArguments`). When this rejects, no process, file or descriptor is left.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the snapshot does not go with the command line or with
 *   the QEMU it starts, naming every reason, or for options that have no use in the mode; ERR_MAPPED_RAM_QEMU when QEMU does not start, or fails; and as `attach` and
 *   `preloadRam`
 */
export async function restore(
  source: SnapshotSource | Snapshot,
  options: RestoreOptions,
): Promise<RestoredGuest> {
  const startedAt = performance.now();
  const { mode = 'instant', signal } = options;
  signal?.throwIfAborted();
  assertOptionsFor(mode, options);
  return usingSnapshot(source, signal, (snapshot) => restoreSnapshot(snapshot, options, startedAt));
}

async function restoreSnapshot(
  snapshot: Snapshot,
  options: RestoreOptions,
  startedAt: number,
): Promise<RestoredGuest> {
  const { mode = 'instant' } = options;
  snapshot.completeRam(mode === 'eager');
  holdSnapshot(snapshot);
  await using memory = await memoryFor(snapshot, mode, options);
  const { warnings, ram } = memory;
  const parsed = parseCommandLine(options.args);
  // Our QMP monitor would take it away.
  const launch = { ...memory.launch, args: [...memory.launch.args, ...standardMonitor(parsed)] };
  const preparedAt = performance.now();
  await using started = await startWithState(snapshot, mode, launch, options);
  const { qemu, state } = started;
  try {
    const answeredAt = performance.now();
    // It has the files mapped.
    await ram?.close();
    const waits = parsed.some(({ name }) => name === 'S');
    const then = options.then ?? (waits ? 'pause' : 'run');
    const attached = await attach(qemu.qmp, snapshot, { ...options, ...launch, mode, then, state });
    return {
      ...attached,
      warnings: [...warnings, ...attached.warnings],
      qemu,
      args: launch.args,
      transfer: ram?.report,
      times: {
        prepareMs: preparedAt - startedAt,
        startMs: answeredAt - preparedAt,
        loadMs: attached.loadMs,
        totalMs: answeredAt - startedAt + attached.elapsedMs,
      },
      [Symbol.asyncDispose]: () => qemu.close(),
    };
  } catch (error) {
    await qemu.close();
    throw error;
  }
}

interface Memory extends AsyncDisposable {
  readonly launch: LaunchArguments;
  readonly ram: PreloadedRam | undefined;
  readonly warnings: readonly string[];
}

/** Loads it with `preload`, and works out the command line. */
async function memoryFor(snapshot: Snapshot, mode: RestoreMode, options: RestoreOptions): Promise<Memory> {
  const { args, ramDirectory, transfer, state, signal } = options;
  refuseDaemon(args);
  const { backends } = planMemory(parseCommandLine(args), snapshot.completeRam(true).blocks);
  const blocks = backends.map(({ block }) => block);
  // QEMU opens this very file, whatever happens to its name meanwhile.
  const mapped = Object.fromEntries(
    blocks.map(({ id }) => [id, procPath(localFile(snapshot.reader, 'a restore').fd)]),
  );
  // Whatever is wrong with the command line or the state is said before gigabytes are loaded.
  const launch = launchArgumentsFor(snapshot, { mode, args, files: mapped });
  if (state !== undefined) assertStateFor(state, snapshot, mode, launch.blocks);
  if (mode !== 'preload') {
    return { launch, ram: undefined, warnings: [], [Symbol.asyncDispose]: async () => undefined };
  }
  const directory = ramDirectory ?? '/dev/shm';
  const problem = await roomProblem(directory, blocks);
  const ram = await preloadRam(snapshot, {
    ...transfer,
    directory,
    signal,
    blocks: blocks.map(({ id }) => id),
  });
  return {
    launch: launchArgumentsFor(snapshot, { mode, args, files: ram.files }),
    ram,
    warnings: problem === undefined ? [] : [problem],
    [Symbol.asyncDispose]: () => ram.close(),
  };
}

interface Started extends AsyncDisposable {
  readonly qemu: QemuProcess;
  /** Undefined when QEMU is to read the snapshot itself. */
  readonly state: StateStream | undefined;
}

/** The state stream is made while QEMU starts. When one of them fails, the other ends. */
async function startWithState(
  snapshot: Snapshot,
  mode: RestoreMode,
  { args, blocks }: LaunchArguments,
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
    mode === 'eager' || given !== undefined
      ? given
      : openStateStream(snapshot, { inPlace: blocks, mapped: mode === 'instant', signal: either });
  const [qemu, state] = await Promise.allSettled([
    QemuProcess.start({ binary, args, stdio, signal: either, timeoutMs }).catch(giveUp),
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

function refuseDaemon(args: readonly string[]): void {
  if (!parseCommandLine(args).some(({ name }) => name === 'daemonize')) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'a QEMU that daemonizes leaves its parent: leave -daemonize out, or start it yourself and use attach',
  );
}
