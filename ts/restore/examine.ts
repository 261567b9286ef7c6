import { MappedRamError } from '../errors.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import { type QemuFacts, queryQemuFacts } from '../qemu/qemu-facts.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { RestorePlan } from '../negotiate/plan.ts';
import type { GlobalState } from '../stream/global-state.ts';
import { assertOptionsFor } from './assert-options.ts';
import { assertStateFor } from './assert-state.ts';
import type { ReadyLoad } from './ahead/ready-load.ts';
import type { StreamFile } from './ahead/stream-file.ts';
import type { LazyMemory, LazyReport } from './postcopy/lazy-memory.ts';
import type { LoadRun } from './load.ts';
import { type MemoryFileOfBlock, refuseMemoryInUse } from './memory-in-use.ts';
import type { Mode } from './modes/mode.ts';
import { modeMeantBy, modeOf, type RestoreMode } from './modes/modes.ts';
import type { LoadOptions } from './options.ts';
import { assertComesUp, assertModeBrings, meantBy } from './recorded-state.ts';
import { describeDestination, type KnownDestination } from './preflight/destination.ts';
import { diskWarnings, withDisks } from './preflight/disks-in-use.ts';
import { lookAtFile, type MappedFile } from './preflight/mapped-file.ts';
import { mappedBlocks } from './preflight/mapping.ts';
import { overwrittenFiles } from './preflight/overwritten-files.ts';
import { readOnlyProblems, writableWarnings } from './preflight/read-only.ts';
import { assertPreflight, comparePreflight, emptyProblems } from './preflight/preflight.ts';
import { handHold, holdSnapshot } from './snapshot-lock.ts';

export interface AttachOptions extends LoadOptions {
  /**
   * The mode, which decides where the guest's memory comes from. `instant` and `preload` need a QEMU that was started
   * with the command line of `launchArguments`.
   * @default 'instant' when QEMU maps the snapshot, else 'eager'
   */
  readonly mode?: RestoreMode | undefined;
  /**
   * The blocks whose memory is in place, as `launchArguments` returned them.
   * @default for `instant` the blocks that QEMU maps out of the snapshot; `preload` has no default
   */
  readonly blocks?: readonly string[] | undefined;
}

/** The plan by which QEMU loaded a guest. */
export interface LoadPlan extends Omit<RestorePlan, 'reader'> {
  readonly mode: RestoreMode;
}

export interface AttachResult {
  readonly mode: RestoreMode;
  /** QEMU's run state of the guest: `running`, `paused`, … */
  readonly runState: string;
  /** The blocks whose memory was in place. QEMU has read all others. */
  readonly blocks: readonly string[];
  /** The form that QEMU read; `why` has the reason. */
  readonly form: 'mapped-ram' | 'stream';
  readonly why: string;
  /** The plan by which QEMU read that form. */
  readonly plan: LoadPlan;
  /** Possible flaws, in words. */
  readonly warnings: readonly string[];
  /** True when QEMU holds a lock on the snapshot that keeps this package from writing into it: `instant` only. */
  readonly locked: boolean;
  /** The memory that follows the guest: mode `lazy` only. */
  readonly memory: LazyMemory | undefined;
  /** Settles when QEMU has all of its memory: with mode `lazy` later than the guest runs, as `LazyMemory.complete`. */
  readonly memoryComplete: Promise<LazyReport | undefined>;
  /** Milliseconds from the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** Milliseconds from the call to the guest in the state asked for. */
  readonly elapsedMs: number;
}

/** A snapshot and a QEMU that waits for it: they were compared, and go together. Nothing is loaded yet. */
export interface Examined {
  readonly run: Omit<LoadRun, 'options' | 'ready'>;
  readonly mode: Mode<RestoreMode>;
  /** The state that the snapshot records. */
  readonly recorded: GlobalState | undefined;
  /** Warnings of disks that another QEMU has for itself, which this guest cannot have as long as that is so. */
  readonly disks: readonly string[];
  /** Other doubts, in words. */
  readonly warnings: readonly string[];
  /** True when QEMU holds a lock on the snapshot. */
  readonly locked: boolean;
}

/**
 * Compares a snapshot with a QEMU that waits for a guest, and hands the snapshot's lock over.
 * @throws {MappedRamError} as `attach`, except for errors of the load
 */
export async function examine(qmp: QmpClient, snapshot: Snapshot, options: AttachOptions): Promise<Examined> {
  const { after = 'cont', timeoutMs, signal } = options;
  // QEMU also reads device state that only QEMU can measure.
  snapshot.completeRam(true);
  const recorded = await assertComesUp(snapshot, after);
  const hasLocks = holdSnapshot(snapshot);
  const fitting = await compareWaiting(qmp, snapshot, {
    ...options,
    guest: snapshot,
    problems: await emptyProblems(snapshot),
  });
  assertModeBrings(fitting.mode, recorded, snapshot);
  const { keepsSnapshot } = fitting.mode;
  const locked = keepsSnapshot && hasLocks && (await handHold(qmp, snapshot, { timeoutMs, signal }));
  return { ...fitting, recorded, locked };
}

/** A QEMU that waits, and that goes with what it was compared with. @internal */
export type Fitting = Omit<Examined, 'recorded' | 'locked'>;

/** @internal */
interface CompareOptions extends AttachOptions {
  /** The guest that QEMU is to take over: a snapshot, or one that is going to be a snapshot with the same blocks. */
  readonly guest: Pick<Snapshot, 'index' | 'completeRam'> & Partial<Pick<Snapshot, 'base'>>;
  /** Further reasons against it, in words. */
  readonly problems: readonly string[];
}

/**
 * Compares a guest with a QEMU that waits for it.
 * @param snapshot the snapshot that has the memory which QEMU maps
 * @throws {MappedRamError} as `attach`, except for errors of the load @internal
 */
export async function compareWaiting(
  qmp: QmpClient,
  snapshot: Snapshot,
  { guest, problems, ...options }: CompareOptions,
): Promise<Fitting> {
  const wait = { timeoutMs: options.timeoutMs, signal: options.signal };
  const [facts, about, { pid }, disks] = await Promise.all([
    queryQemuFacts(qmp, wait),
    describeDestination(qmp, wait),
    identifyQemu(qmp, wait),
    diskWarnings(qmp, wait),
  ]);
  const file = await lookAtFile(snapshot, pid);
  const { mode, blocks } = placeOf(snapshot, facts, file, options);
  assertOptionsFor(mode, options);
  const place = { mode, inPlace: blocks, file };
  const readOnly = await readOnlyProblems(qmp, snapshot, facts.memory, blocks, wait);
  const preflight = comparePreflight(guest, { ...about, ...knownOf(facts) }, place);
  assertPreflight([...preflight.problems, ...readOnly, ...problems], snapshot.path);
  const used = await refuseMemoryInUse(memoryFiles(facts, blocks), { runs: true, pid });
  const read = snapshot.completeRam(true).blocks.filter(({ id }) => !blocks.includes(id));
  const overwritten = await overwrittenFiles(qmp, read, facts.memory, wait);
  const writable = mode.state?.mapped === true ? await writableWarnings(qmp, file.path, blocks, wait) : [];
  return {
    run: { qmp, facts, pid, snapshot, inPlace: blocks },
    mode,
    disks,
    warnings: [...preflight.warnings, ...writable, ...used, ...overwritten],
  };
}

/**
 * Gives a QEMU that waits what it needs to load a state stream, which is in the file only when `loadExamined` is called.
 * @param options those of that call, except for the stream
 * @returns for the option `ready` of that call, and the caller's; undefined where there is nothing to be had beforehand
 * @throws {MappedRamError} as `ReadyLoad.make` @internal
 */
export async function readyExamined(
  { run, mode, disks }: Pick<Examined, 'run' | 'mode' | 'disks'>,
  file: StreamFile,
  options: LoadOptions & { readonly after: 'cont' | 'stop' },
): Promise<ReadyLoad | undefined> {
  return mode.ready({ ...run, options: { ...options, heldBack: disks.length > 0 } }, file);
}

/** A guest that is loaded. */
export interface LoadedGuest extends Omit<AttachResult, 'elapsedMs'> {
  /** Time at which the guest was in the state asked for, by `performance.now()`. */
  readonly readyAt: number;
}

/** Lets QEMU take the guest over. @throws {MappedRamError} as `attach` */
export async function loadExamined(
  { run, mode, recorded, disks, warnings, locked }: Examined,
  { ready, ...options }: LoadOptions & Pick<LoadRun, 'ready'>,
): Promise<LoadedGuest> {
  const { after = 'cont' } = options;
  const how = { ...options, after: meantBy(after, run.snapshot, recorded), heldBack: disks.length > 0 };
  const loaded = await mode.load({ ...run, ready, options: how }).catch((error: unknown) => {
    throw withDisks(error, disks);
  });
  const { direction, reader: _, ...decisions } = loaded.plan;
  const { runState, form, why, loadMs, readyAt, memory } = loaded;
  return {
    mode: mode.name,
    runState,
    blocks: run.inPlace,
    form,
    why,
    plan: { direction, mode: mode.name, ...decisions },
    warnings: [...warnings, ...disks, ...loaded.warnings],
    locked,
    memory,
    memoryComplete: memory?.complete ?? Promise.resolve(undefined),
    loadMs,
    readyAt,
  };
}

function placeOf(
  snapshot: Snapshot,
  { memory }: QemuFacts,
  file: MappedFile,
  options: AttachOptions,
): { readonly mode: Mode<RestoreMode>; readonly blocks: readonly string[] } {
  const mapped = mappedBlocks(snapshot, memory, file);
  const mode = options.mode === undefined ? modeMeantBy(mapped) : modeOf(options.mode);
  const blocks = mode.blocksInPlace(options.blocks, mapped);
  if (options.state !== undefined) assertStateFor(options.state, snapshot, mode, blocks);
  snapshot.completeRam(mode.takesUnmeasured);
  if (blocks.length > 0 || mode.nothingInPlace === undefined) return { mode, blocks };
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', mode.nothingInPlace, { path: snapshot.path });
}

/** The files that QEMU has as memory and loads into. */
function memoryFiles({ memory }: QemuFacts, inPlace: readonly string[]): readonly MemoryFileOfBlock[] {
  return memory.flatMap(({ id, backend }) =>
    backend?.path !== undefined && !inPlace.includes(id)
      ? [{ id, path: backend.path, isShared: backend.share }]
      : [],
  );
}

function knownOf({ runState, migrationStatus, memory, capabilities }: QemuFacts): KnownDestination {
  return { runState, migrationStatus, memory, capabilities: [...capabilities.keys()] };
}
