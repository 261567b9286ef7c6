import { assertClient } from '../qmp/assert-client.ts';
import { assertOptions, assertTexts } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import { type QemuFacts, queryQemuFacts } from '../qemu/qemu-facts.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import type { RestorePlan } from '../negotiate/plan.ts';
import { assertOptionsFor, assertRestoreWords } from './assert-options.ts';
import { assertStateFor } from './assert-state.ts';
import { refuseMemoryInUse, type SharedMemoryFile } from './memory-in-use.ts';
import type { Mode } from './modes/mode.ts';
import { modeMeantBy, modeOf, type RestoreMode } from './modes/modes.ts';
import type { LoadOptions } from './options.ts';
import { assertComesUp, meantBy } from './recorded-state.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { describeDestination, type Destination, type KnownDestination } from './preflight/destination.ts';
import { diskWarnings, withDisks } from './preflight/disks-in-use.ts';
import { lookAtFile, type MappedFile } from './preflight/mapped-file.ts';
import { mappedBlocks } from './preflight/mapping.ts';
import { overwrittenFiles } from './preflight/overwritten-files.ts';
import { readOnlyProblems } from './preflight/read-only.ts';
import {
  assertPreflight,
  comparePreflight,
  emptyProblems,
  type PreflightOptions,
} from './preflight/preflight.ts';
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
  /** Milliseconds from the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** Milliseconds from the call to the guest in the state asked for. */
  readonly elapsedMs: number;
}

/**
 * Lets a QEMU that was started with `-incoming defer` take a guest over. First compares the two, and refuses with every
 * reason against it. QEMU stays the caller's. After an error the caller has to end it, for it cannot try twice.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the snapshot does not fit this QEMU, naming every
 *   mismatch, or for options that have no use in the mode; ERR_MAPPED_RAM_UNSUPPORTED for options that a plain stream
 *   has no use for; ERR_MAPPED_RAM_INCOMPLETE; ERR_MAPPED_RAM_QEMU when QEMU refuses, fails or dies;
 *   ERR_MAPPED_RAM_TIMEOUT when it takes too long; ERR_MAPPED_RAM_BUSY when somebody writes the snapshot, or uses a
 *   memory file that QEMU is to load into; as
 *   `Snapshot.open`, `openStateStream` and `negotiate`
 */
export async function attach(
  qmp: QmpClient,
  source: SnapshotSource | Snapshot,
  options: AttachOptions = {},
): Promise<AttachResult> {
  assertClient(qmp);
  assertOptions(options);
  options.signal?.throwIfAborted();
  if (options.blocks !== undefined) assertTexts('blocks', options.blocks);
  assertRestoreWords(options);
  if (options.mode !== undefined) modeOf(options.mode);
  return usingSnapshot(source, options.signal, (snapshot) => attachSnapshot(qmp, snapshot, options));
}

async function attachSnapshot(
  qmp: QmpClient,
  snapshot: Snapshot,
  options: AttachOptions,
): Promise<AttachResult> {
  const startedAt = performance.now();
  const { after = 'cont', timeoutMs, signal } = options;
  const wait = { timeoutMs, signal };
  // QEMU also reads device state that only QEMU can measure.
  snapshot.completeRam(true);
  const recorded = await assertComesUp(snapshot, after);
  const hasLocks = holdSnapshot(snapshot);
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
  const warnings = await preflight(snapshot, { ...about, ...knownOf(facts) }, place, readOnly);
  const used = await refuseMemoryInUse(sharedFiles(facts, blocks), { runs: true, pid });
  const read = snapshot.completeRam(true).blocks.filter(({ id }) => !blocks.includes(id));
  const overwritten = await overwrittenFiles(qmp, read, facts.memory, wait);
  const locked = mode.keepsSnapshot && hasLocks && (await handHold(qmp, snapshot, wait));
  const run = {
    qmp,
    facts,
    pid,
    snapshot,
    inPlace: blocks,
    options: { ...options, after: meantBy(after, snapshot, recorded), heldBack: disks.length > 0 },
  };
  const { readyAt, form, why, runState, loadMs, ...loaded } = await mode.load(run).catch((error: unknown) => {
    throw withDisks(error, disks);
  });
  const { direction, reader: _, ...decisions } = loaded.plan;
  return {
    mode: mode.name,
    runState,
    blocks,
    form,
    why,
    plan: { direction, mode: mode.name, ...decisions },
    warnings: [...warnings, ...used, ...overwritten, ...disks, ...loaded.warnings],
    locked,
    loadMs,
    elapsedMs: readyAt - startedAt,
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

/** The files that QEMU shares as memory and loads into. */
function sharedFiles({ memory }: QemuFacts, inPlace: readonly string[]): readonly SharedMemoryFile[] {
  return memory.flatMap(({ id, backend }) =>
    backend?.share === true && backend.path !== undefined && !inPlace.includes(id)
      ? [{ id, path: backend.path }]
      : [],
  );
}

function knownOf({ runState, migrationStatus, memory, capabilities }: QemuFacts): KnownDestination {
  return { runState, migrationStatus, memory, capabilities: [...capabilities.keys()] };
}

async function preflight(
  snapshot: Snapshot,
  destination: Destination,
  place: PreflightOptions,
  more: readonly string[],
): Promise<readonly string[]> {
  const { problems, warnings } = comparePreflight(snapshot, destination, place);
  assertPreflight([...problems, ...more, ...(await emptyProblems(snapshot))], snapshot.path);
  return warnings;
}
