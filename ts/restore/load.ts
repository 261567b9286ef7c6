import { MappedRamError } from '../errors.ts';
import type { Stretch } from '../host/touched-pages.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { procPath } from '../io/anonymous-file.ts';
import { applyPlan } from '../negotiate/apply-plan.ts';
import { negotiate } from '../negotiate/negotiate.ts';
import type { RestorePlan } from '../negotiate/plan.ts';
import type { Reader, RestoreRequest } from '../negotiate/request.ts';
import { giveFile } from '../qemu/given-file.ts';
import { migrateIn } from '../qemu/migration.ts';
import type { QemuFacts } from '../qemu/qemu-facts.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { DELTA_HEAD_BYTES } from '../stream/constants.ts';
import type { FileMigrationAddress } from '../uri/migration-address.ts';
import type { LoadOptions } from './options.ts';
import { setAutostart, settle, type AfterRestore } from './run-state.ts';
import { localFile } from '../io/open-source.ts';
import { openStateStream, type StateStream } from './state-stream.ts';
import { writtenByBoard } from './written-by-board.ts';

/** One load under way: the snapshot and QEMU were compared, and fit. */
export interface LoadRun {
  readonly qmp: QmpClient;
  readonly facts: QemuFacts;
  /** QEMU's process, when it is known. */
  readonly pid: number | undefined;
  readonly snapshot: Snapshot;
  /** The blocks whose memory is in place, by id. */
  readonly inPlace: readonly string[];
  readonly options: LoadOptions & {
    readonly after: AfterRestore;
    /**
     * True when QEMU is not to start the guest by itself, because it may fail to take the disks. QEMU would then stay
     * in `inmigrate`, and answer `cont` with success (docs/format.md §4.3).
     */
    readonly heldBack: boolean;
  };
}

export interface Loaded {
  /** The form that QEMU read; `why` has the reason. */
  readonly form: 'mapped-ram' | 'stream';
  readonly why: string;
  readonly plan: RestorePlan;
  readonly warnings: readonly string[];
  readonly runState: string;
  /** Milliseconds from the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** Time at which the guest was in that state, by `performance.now()`. */
  readonly readyAt: number;
}

/** The file that QEMU is to read: its name, and the way to open it when QEMU gets a descriptor. */
interface Source {
  readonly address: FileMigrationAddress;
  readonly path: string;
}

/**
 * Lets QEMU read the mapped-ram file itself; a delta by its second head, over the memory of its base.
 * @param why the reason in words
 */
export async function loadFile(run: LoadRun, why: string): Promise<Loaded> {
  const { index, base, reader, sources } = run.snapshot;
  const file = localFile(sources[0] ?? reader, 'a restore');
  const path = procPath(file.fd);
  const filename = file.path ?? path;
  const offset = index.base + (base === undefined ? 0 : DELTA_HEAD_BYTES);
  const address = { transport: 'file', filename, offset } as const;
  // The descriptor belongs to the very file that was looked into, whatever happened to its name.
  const source = { address, path: process.platform === 'linux' ? path : filename };
  const { multifd, channels, directIo } = run.options;
  const loaded = await load(run, source, { reader: 'qemu', multifd, channels, directIo });
  return { form: 'mapped-ram', why, ...loaded };
}

export interface StateLoad {
  /** The reader that has brought the memory in place. */
  readonly reader: Reader;
  /** True when the blocks in place are mappings of the snapshot file; see `StateStreamOptions`. */
  readonly mapped: boolean;
  /** Blocks that are not in place and whose memory reads as zeros, by id. @default none */
  readonly fresh?: readonly string[] | undefined;
  /** The reason why QEMU reads a stream, in words. */
  readonly why: string;
}

/** Lets QEMU read a state stream: the caller's, or one that is made for this load. */
export async function loadState(run: LoadRun, { reader, mapped, fresh, why }: StateLoad): Promise<Loaded> {
  const { snapshot, inPlace, options } = run;
  const read = async (state: StateStream): Promise<Loaded> => {
    const loaded = await load(run, sourceOf(state), { reader });
    return { form: 'stream', why, ...loaded, warnings: [...state.warnings, ...loaded.warnings] };
  };
  const overwritten = await overwrittenParts(run);
  // A stream that was made beforehand does not have those pages.
  if (options.state !== undefined && overwritten.size === 0) return read(options.state);
  const { signal } = options;
  await using state = await openStateStream(snapshot, { inPlace, mapped, fresh, overwritten, signal });
  return await read(state);
}

/**
 * Finds the parts of the memory in place that the board may have overwritten (docs/format.md §4.2).
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when they cannot be seen
 */
async function overwrittenParts({
  qmp,
  pid,
  snapshot,
  inPlace,
  options,
}: LoadRun): Promise<ReadonlyMap<string, readonly Stretch[]>> {
  const { machine } = snapshot.index;
  const parts = new Map<string, readonly Stretch[]>();
  for (const [id, seen] of await writtenByBoard({ qmp, pid, machine }, inPlace, options)) {
    if (seen === undefined) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_UNSUPPORTED',
        `a machine of type ${machine} writes into its memory (${id}) before the guest comes, and where cannot be seen, because QEMU's process is not known or may not be looked into: use mode eager`,
        { path: snapshot.path },
      );
    }
    if (seen.length > 0) parts.set(id, seen);
  }
  return parts;
}

function sourceOf({ path }: StateStream): Source {
  return { address: { transport: 'file', filename: path, offset: 0 }, path };
}

async function load(
  { qmp, facts, snapshot, options }: LoadRun,
  { address, path }: Source,
  features: Pick<RestoreRequest, 'reader' | 'multifd' | 'channels' | 'directIo'>,
): Promise<Omit<Loaded, 'form' | 'why'>> {
  const { fdset, timeoutMs, signal, after, heldBack } = options;
  const wait = { timeoutMs, signal };
  const request = { direction: 'restore', target: address, snapshot, fdset, ...features } as const;
  const plan = await negotiate(qmp, request, { ...wait, facts });
  const applied = await applyPlan(qmp, plan, wait);
  try {
    const loaded = await loadWith(qmp, plan, { address, path }, { after, heldBack }, wait);
    return { ...loaded, plan, warnings: plan.notes.map(({ words }) => words) };
  } finally {
    // The error of a failed load says more than QEMU's refusal to change settings now.
    await applied.putBack().catch(() => undefined);
  }
}

async function loadWith(
  qmp: QmpClient,
  plan: RestorePlan,
  { address, path }: Source,
  { after, heldBack }: Pick<LoadRun['options'], 'after' | 'heldBack'>,
  wait: WaitOptions,
): Promise<Pick<Loaded, 'runState' | 'loadMs' | 'readyAt'>> {
  const { offset } = address;
  const file = { path, offset, access: 'read', direct: plan.directIo.value, ...wait } as const;
  const opensHere = plan.fdset.value;
  await using given = opensHere ? await giveFile(qmp, plan.qemu.features, opensHere, file) : undefined;
  await setAutostart(qmp, heldBack ? 'stop' : after, wait);
  const startedAt = performance.now();
  await migrateIn(qmp, given?.address ?? plan.target.address, wait);
  const runState = await settle(qmp, after, wait);
  const readyAt = performance.now();
  return { runState, readyAt, loadMs: readyAt - startedAt };
}
