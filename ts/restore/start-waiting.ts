import { MappedRamError } from '../errors.ts';
import { DEFAULT_BINARY, type QemuProcessOptions, QemuProcess } from '../qemu/process/qemu-process.ts';
import { closingWrapper } from '../qemu/process/wrappers.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { assertStateFor } from './assert-state.ts';
import { askDefaultRam } from './command-line/ask-default-ram.ts';
import { type LaunchArguments, LaunchPlan } from './command-line/launch-plan.ts';
import type { CommandLineOption } from './command-line/options.ts';
import { standardMonitor } from './command-line/standard-monitor.ts';
import { explainStart } from './explain-start.ts';
import { refuseMemoryInUse } from './memory-in-use.ts';
import type { Mode, PreparedMemory } from './modes/mode.ts';
import type { LoadOptions, PrepareOptions } from './options.ts';
import type { AfterRestore } from './run-state.ts';
import { openStateStream, type StateStream } from './state-stream.ts';

/** Memory and command line of a QEMU that is to be started. Disposal closes the files of the memory. */
export interface Prepared extends AsyncDisposable {
  readonly memory: PreparedMemory;
  readonly launch: LaunchArguments;
  readonly warnings: readonly string[];
}

/** What a QEMU that is to wait for a guest is started with. */
export interface StartOptions
  extends PrepareOptions, Pick<LoadOptions, 'state'>, Omit<QemuProcessOptions, 'inherit'> {
  /** This QEMU's answer about the snapshot's machine type. @default QEMU is asked, where the answer is needed */
  readonly defaultRam?: { readonly id: string | undefined } | undefined;
}

/** Prepares the memory, and works out the command line. @throws {MappedRamError} as `restore` */
export async function prepare(
  snapshot: Snapshot,
  mode: Mode,
  commandLine: readonly CommandLineOption[],
  options: StartOptions,
): Promise<Prepared> {
  refuseDaemon(commandLine);
  // A defect of the command line or the state is reported before gigabytes are loaded.
  const defaultRam =
    options.defaultRam === undefined
      ? await askDefaultRam(snapshot, mode, commandLine, options)
      : options.defaultRam.id;
  const plan = new LaunchPlan(snapshot, mode, commandLine, { defaultRam, memory: options.memory });
  if (options.state !== undefined) assertStateFor(options.state, snapshot, mode, plan.blocks);
  // QEMU would touch the files as it starts; `attach` looks again, at the files that QEMU has.
  await refuseMemoryInUse(plan.memoryFiles, { runs: false, pid: undefined });
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

/** A QEMU that waits for a guest. Disposal closes the state stream, unless it is the caller's, and leaves QEMU alone. */
export interface Started extends AsyncDisposable {
  readonly qemu: QemuProcess;
  /** The state stream; undefined when the mode has no use for one. */
  readonly state: StateStream | undefined;
}

/** Makes the state stream while QEMU starts. When one of them fails, the other ends. */
export async function startWithState(
  snapshot: Snapshot,
  mode: Mode,
  prepared: Prepared,
  options: StartOptions,
): Promise<Started> {
  const { signal, state: given } = options;
  const { blocks } = prepared.launch;
  const failed = new AbortController();
  const signals = [failed.signal, ...(signal === undefined ? [] : [signal])];
  const either = AbortSignal.any(signals);
  const giveUp = (error: unknown): never => {
    failed.abort(error);
    throw error;
  };
  // QEMU may read a delta by itself, over memory that it maps; if it may not, the load makes the stream.
  const isForQemu = snapshot.base !== undefined && mode.state?.mapped === true;
  const make = async (): Promise<StateStream | undefined> =>
    mode.state === undefined || given !== undefined || isForQemu
      ? given
      : openStateStream(snapshot, { inPlace: blocks, mapped: mode.state.mapped, signal: either });
  const [qemu, state] = await Promise.allSettled([
    startPrepared(mode, prepared, { ...options, signal: either }).catch(giveUp),
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

/**
 * Starts QEMU with memory and command line that were prepared. When this rejects, no process is left.
 * @throws {MappedRamError} as `QemuProcess.start`; `ModeUnavailable` for a QEMU that does not have the mode
 */
export async function startPrepared(
  mode: Mode,
  { memory, launch: { args } }: Prepared,
  {
    binary,
    stdio,
    signal,
    timeoutMs,
    watch,
  }: Pick<StartOptions, 'binary' | 'stdio' | 'signal' | 'timeoutMs' | 'watch'>,
): Promise<QemuProcess> {
  const { outOfBand: oob } = mode;
  const process = { binary, args, stdio, inherit: memory.descriptors, signal, timeoutMs, watch, oob };
  return QemuProcess.start(process).catch((error: unknown) =>
    explainStart(error, mode, { binary: binary ?? DEFAULT_BINARY, signal }),
  );
}

/** A guest whose end nobody sees would be ended as soon as its restore is done. */
export function refuseAbandoned(qemu: QemuProcess): void {
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

/** The guest's state after the restore when the caller names none: `-S` is the word of QEMU for a guest that is to wait. */
export function defaultAfter(commandLine: readonly CommandLineOption[]): AfterRestore {
  return commandLine.some(({ name }) => name === 'S') ? 'stop' : 'cont';
}
