import { MappedRamError } from '../errors.ts';
import type { QemuFacts, RestoreMode, RestorePlan, Switch } from '../negotiate/plan.ts';
import { queryQemuFacts } from '../negotiate/qemu-facts.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { assertOptionsFor, assertStreamOptions } from './assert-options.ts';
import type { Then } from './run-state.ts';
import { describeDestination, type Destination, type KnownDestination } from './preflight/destination.ts';
import { type EagerWay, eagerWay } from './eager-form.ts';
import { loadFile, loadStream } from './load.ts';
import { mappedBlocks } from './preflight/mapped-blocks.ts';
import { lookAtFile, type MappedFile } from './preflight/mapped-file.ts';
import {
  assertPreflight,
  comparePreflight,
  emptyProblems,
  type PreflightOptions,
} from './preflight/preflight.ts';
import { handHold, holdSnapshot } from './snapshot-lock.ts';
import { assertStateFor } from './snapshot-identity.ts';
import type { StateStream } from './state-stream.ts';

export interface AttachOptions extends WaitOptions {
  /**
   * Where the guest's memory comes from. `instant` and `preload` need a QEMU that was started with what
   * `launchArguments` says.
   * @default 'instant' when QEMU maps the snapshot, else 'eager'
   */
  readonly mode?: RestoreMode | undefined;
  /**
   * The blocks whose memory is in place, as `launchArguments` gave them.
   * @default for `instant` those that QEMU maps out of the snapshot; `preload` has to say
   */
  readonly blocks?: readonly string[] | undefined;
  /** @default 'run' */
  readonly then?: Then | undefined;
  /**
   * A state stream that was made beforehand for this snapshot, mode and blocks: once for many clones. It stays the
   * caller's. Not with `eager`. @default made when it is needed
   */
  readonly state?: StateStream | undefined;
  /** Several channels of QEMU: `eager` only, and not where it reads a plain stream. @default 'auto' */
  readonly multifd?: Switch | undefined;
  /** Channels of QEMU, 1 to 255: as `multifd`. @default 'auto' */
  readonly channels?: number | 'auto' | undefined;
  /** O_DIRECT: as `multifd`. @default 'auto' */
  readonly directIo?: Switch | undefined;
  /** Whether files are handed to QEMU as descriptors, so that it needs no right to any path. @default 'auto' */
  readonly fdset?: Switch | undefined;
  /** Milliseconds for each step that QEMU is asked to take. @default no limit for the load, 60000 for commands */
  readonly timeoutMs?: number | undefined;
}

export interface AttachResult {
  readonly mode: RestoreMode;
  /** What QEMU says of the guest: `running`, `paused`, … */
  readonly runState: string;
  /** The blocks whose memory was in place. QEMU has read all others. */
  readonly blocks: readonly string[];
  /** What QEMU read, and why. */
  readonly form: 'mapped-ram' | 'stream';
  readonly why: string;
  /** How it was told to read it. */
  readonly plan: RestorePlan;
  /** What may be wrong, in words. */
  readonly warnings: readonly string[];
  /** Whether QEMU holds a lock on the snapshot that keeps this package from writing into it: `instant` only. */
  readonly locked: boolean;
  /** Milliseconds from the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** From the call to the guest in the state asked for. */
  readonly elapsedMs: number;
}

/**
 * Lets a QEMU that was started with `-incoming defer` take a guest over. First compares the two and refuses with all
 * that speaks against it. QEMU stays the caller's: after an error it has to be ended, for it cannot try twice.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the snapshot does not fit this QEMU, naming every
 *   mismatch, or for options that have no use in the mode; ERR_MAPPED_RAM_UNSUPPORTED for those that a plain stream has
 *   no use for; ERR_MAPPED_RAM_INCOMPLETE; ERR_MAPPED_RAM_QEMU when QEMU refuses, fails or dies; ERR_MAPPED_RAM_IO when it
 *   takes too long, or somebody writes the snapshot; as `Snapshot.open`, `openStateStream` and `negotiate`
 */
export async function attach(
  qmp: QmpClient,
  source: SnapshotSource | Snapshot,
  options: AttachOptions = {},
): Promise<AttachResult> {
  options.signal?.throwIfAborted();
  return usingSnapshot(source, options.signal, (snapshot) => attachSnapshot(qmp, snapshot, options));
}

async function attachSnapshot(
  qmp: QmpClient,
  snapshot: Snapshot,
  options: AttachOptions,
): Promise<AttachResult> {
  const startedAt = performance.now();
  const { then = 'run', timeoutMs, signal } = options;
  const wait = { timeoutMs, signal };
  // QEMU also reads what only it can measure.
  snapshot.completeRam(true);
  const hasLocks = holdSnapshot(snapshot);
  const [facts, about, file] = await Promise.all([
    queryQemuFacts(qmp, wait),
    describeDestination(qmp, wait),
    lookAtFile(snapshot, qmp),
  ]);
  const { mode, blocks } = placeOf(snapshot, facts, file, options);
  assertOptionsFor(mode, options);
  const place = { mode, inPlace: blocks, file };
  const warnings = await preflight(snapshot, { ...about, ...knownOf(facts) }, place);
  const way: EagerWay =
    mode === 'eager'
      ? await eagerWay(snapshot, facts.memory)
      : { form: 'stream', why: 'the memory is in place', fresh: [] };
  if (mode === 'eager' && way.form === 'stream') assertStreamOptions(options, way.why);
  const locked = mode === 'instant' && hasLocks && (await handHold(qmp, snapshot, wait));
  const loaded =
    way.form === 'mapped-ram'
      ? await loadFile(qmp, snapshot, { ...options, then, facts })
      : await loadStream(qmp, snapshot, { mode, blocks, ...way }, { ...options, then, facts });
  const { plan, loadMs, runState, readyAt } = loaded;
  const { form, why } = way;
  const elapsedMs = readyAt - startedAt;
  const all = [...warnings, ...loaded.warnings];
  return { mode, runState, blocks, form, why, plan, warnings: all, locked, loadMs, elapsedMs };
}

function placeOf(
  snapshot: Snapshot,
  { memory }: QemuFacts,
  file: MappedFile,
  options: AttachOptions,
): { readonly mode: RestoreMode; readonly blocks: readonly string[] } {
  const mapped = mappedBlocks(snapshot, memory, file);
  const mode = options.mode ?? (mapped.length > 0 ? 'instant' : 'eager');
  const given = options.blocks ?? (mode === 'instant' ? mapped : []);
  const blocks = mode === 'eager' ? [] : given;
  if (options.state !== undefined) assertStateFor(options.state, snapshot, mode, blocks);
  if (mode === 'eager') return { mode, blocks };
  snapshot.completeRam();
  if (blocks.length > 0) return { mode, blocks };
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    mode === 'instant'
      ? 'QEMU maps no block of the snapshot: start it with what launchArguments says, or use mode eager'
      : 'which blocks are loaded already: preload has to say (blocks)',
    { path: snapshot.path },
  );
}

function knownOf({ runState, migrationStatus, memory, capabilities }: QemuFacts): KnownDestination {
  return { runState, migrationStatus, memory, capabilities: [...capabilities.keys()] };
}

async function preflight(
  snapshot: Snapshot,
  destination: Destination,
  place: PreflightOptions,
): Promise<readonly string[]> {
  const { problems, warnings } = comparePreflight(snapshot, destination, place);
  assertPreflight([...problems, ...(await emptyProblems(snapshot))], snapshot.path);
  return warnings;
}
