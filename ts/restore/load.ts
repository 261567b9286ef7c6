import { MappedRamError } from '../errors.ts';
import type { Stretch } from '../host/touched-pages.ts';
import { procPath } from '../io/anonymous-file.ts';
import type { RestorePlan } from '../negotiate/plan.ts';
import type { Reader } from '../negotiate/request.ts';
import type { QemuFacts } from '../qemu/qemu-facts.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { DELTA_HEAD_BYTES } from '../stream/constants.ts';
import type { LoadOptions } from './options.ts';
import type { LazyMemory } from './postcopy/lazy-memory.ts';
import { type LoadSource, ReadyLoad, type ReadyLoadOptions } from './ahead/ready-load.ts';
import type { AfterRestore } from './run-state.ts';
import { localFile } from '../io/open-source.ts';
import { openStateStream, type StateStream } from './state-stream.ts';
import type { StreamFile } from './ahead/stream-file.ts';
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
  /** What `readyState` has made for this load. It stays the caller's. */
  readonly ready?: ReadyLoad | undefined;
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
  /** The memory that is still on its way; undefined when all of it is there. */
  readonly memory?: LazyMemory | undefined;
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
    const loaded = await load(run, sourceOf(state.path), { reader });
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
 * Gives a QEMU beforehand what it needs to load a state stream that is still to be made, for `loadState`.
 * @returns undefined when a stream that is made for many will not do for this QEMU
 * @throws {MappedRamError} as `ReadyLoad.make`
 */
export async function readyState(
  run: LoadRun,
  file: StreamFile,
  reader: Reader,
): Promise<ReadyLoad | undefined> {
  if ((await overwrittenParts(run)).size > 0) return undefined;
  return makeReady(run, sourceOf(file.path), { reader });
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

function sourceOf(path: string): LoadSource {
  return { address: { transport: 'file', filename: path, offset: 0 }, path };
}

async function load(
  run: LoadRun,
  source: LoadSource,
  features: Omit<ReadyLoadOptions['features'], 'fdset'>,
): Promise<Omit<Loaded, 'form' | 'why'>> {
  const { timeoutMs, signal } = run.options;
  const given = run.ready;
  const ready = given ?? (await makeReady(run, source, features));
  try {
    const loaded = await ready.load({ timeoutMs, signal });
    return { ...loaded, plan: ready.plan, warnings: ready.warnings };
  } finally {
    if (given === undefined) await ready[Symbol.asyncDispose]();
  }
}

function makeReady(
  { qmp, facts, snapshot, options }: LoadRun,
  source: LoadSource,
  features: Omit<ReadyLoadOptions['features'], 'fdset'>,
): Promise<ReadyLoad> {
  const { fdset, timeoutMs, signal, after, heldBack } = options;
  const how = { after, heldBack, timeoutMs, signal };
  return ReadyLoad.make({ qmp, facts, snapshot, source, features: { fdset, ...features }, ...how });
}
