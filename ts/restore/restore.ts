import { assertOptions, assertTexts } from '../io/assert-options.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import type { QemuProcessOptions, QemuProcess } from '../qemu/process/qemu-process.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { assertOptionsFor, assertRestoreWords } from './assert-options.ts';
import { attach } from './attach.ts';
import { parseCommandLine } from './command-line/options.ts';
import type { AttachOptions, AttachResult } from './examine.ts';
import { ModeUnavailable } from './explain-start.ts';
import { holdSnapshot } from './snapshot-lock.ts';
import { isLostBeforeRun } from './postcopy/server-lost.ts';
import type { Mode } from './modes/mode.ts';
import { DEFAULT_MODE, modeOf, type RestoreMode } from './modes/modes.ts';
import type { PrepareOptions } from './options.ts';
import { assertComesUp, assertModeBrings } from './recorded-state.ts';
import { defaultAfter, prepare, refuseAbandoned, startWithState } from './start-waiting.ts';
import type { ReadingAhead } from '../working-set/read-working-set-ahead.ts';
import { readAhead } from './read-ahead.ts';

/** How often a restore whose server of pages ends is tried. */
const MOST_TRIES = 3;

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
  /** The working set that is read ahead; `instant` and `lazy` only, where there is one. */
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
      return await restoreAtLast(snapshot, mode, options, startedAt);
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

/** Restores, and starts over with another QEMU when the server of its memory ended before the guest ran. */
async function restoreAtLast(...args: Parameters<typeof restoreSnapshot>): Promise<RestoredGuest> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await restoreSnapshot(...args);
    } catch (error) {
      if (!isLostBeforeRun(error) || tries === MOST_TRIES) throw error;
    }
  }
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
  const after = options.after ?? defaultAfter(commandLine);
  assertModeBrings(mode, await assertComesUp(snapshot, after), snapshot);
  await using prepared = await prepare(snapshot, mode, commandLine, options);
  const { memory, launch } = prepared;
  const preparedAt = performance.now();
  await using beside = mode.startAhead(snapshot, options);
  await using ahead = await readAhead(snapshot, mode, options);
  await using started = await startWithState(snapshot, mode, prepared, options);
  const { qemu, state } = started;
  try {
    const answeredAt = performance.now();
    // QEMU has the files mapped by now.
    await memory[Symbol.asyncDispose]();
    const { blocks } = launch;
    refuseAbandoned(qemu);
    const attached = await attach(qemu.qmp, snapshot, {
      ...options,
      blocks,
      mode: mode.name,
      after,
      state,
      beside,
      hot: ahead.pages,
    });
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
        await attached.memory?.[Symbol.asyncDispose]();
        await qemu.close();
      },
    };
  } catch (error) {
    await qemu.close();
    throw error;
  }
}
