import { applyPlan } from '../negotiate/apply-plan.ts';
import { FdSet } from '../qemu/fd-set.ts';
import { migrateIn } from '../qemu/migration.ts';
import { negotiate } from '../negotiate/negotiate.ts';
import type { QemuFacts, RestoreMode, RestorePlan, Switch } from '../negotiate/plan.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { FileMigrationAddress } from '../uri/migration-address.ts';
import { localFile } from '../io/open-source.ts';
import { procPath } from '../io/anonymous-file.ts';
import { setAutostart, settle, type Then } from './run-state.ts';
import { openStateStream, type StateStream } from './state-stream.ts';

export interface LoadOptions extends WaitOptions {
  readonly facts: QemuFacts;
  readonly then: Then;
  readonly state?: StateStream | undefined;
  readonly multifd?: Switch | undefined;
  readonly channels?: number | 'auto' | undefined;
  readonly directIo?: Switch | undefined;
  readonly fdset?: Switch | undefined;
}

export interface Loaded {
  readonly plan: RestorePlan;
  readonly warnings: readonly string[];
  readonly runState: string;
  /** Milliseconds from the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** When it was, by `performance.now()`. */
  readonly readyAt: number;
}

/** What QEMU is to read: its name, and how we open it when QEMU gets a descriptor. */
interface Source {
  readonly address: FileMigrationAddress;
  readonly path: string;
}

/** Lets QEMU read the mapped-ram file itself. */
export async function loadFile(qmp: QmpClient, snapshot: Snapshot, options: LoadOptions): Promise<Loaded> {
  const { index } = snapshot;
  const file = localFile(snapshot.reader, 'a restore');
  const path = procPath(file.fd);
  const filename = file.path ?? path;
  const address = { transport: 'file', filename, offset: index.base } as const;
  // A descriptor is of the very file that was looked into, whatever happened to its name.
  return load(
    qmp,
    { address, path: process.platform === 'linux' ? path : filename },
    'eager',
    snapshot,
    options,
  );
}

export interface StreamPlace {
  readonly mode: RestoreMode;
  /** In place already, by id. */
  readonly blocks: readonly string[];
  /** Other blocks whose memory reads as zeros, by id. */
  readonly fresh: readonly string[];
  /** Why QEMU reads a stream. */
  readonly why: string;
}

/** Lets QEMU read the state stream: the caller's, or one that is made for this. */
export async function loadStream(
  qmp: QmpClient,
  snapshot: Snapshot,
  { mode, blocks, fresh, why }: StreamPlace,
  options: LoadOptions,
): Promise<Loaded> {
  // How a QEMU is told to read a plain stream does not depend on what is in it.
  const loadState = async (state: StateStream): Promise<Loaded> => {
    const planMode = mode === 'eager' ? 'preload' : mode;
    const loaded = await load(qmp, sourceOf(state), planMode, snapshot, options, state.warnings);
    return mode === 'eager' ? { ...loaded, plan: wholeGuest(loaded.plan, why) } : loaded;
  };
  if (options.state !== undefined) return loadState(options.state);
  const { signal } = options;
  await using state = await openStateStream(snapshot, {
    inPlace: blocks,
    mapped: mode === 'instant',
    fresh,
    signal,
  });
  return await loadState(state);
}

/** The plan of a state stream that has the memory in it, too: what was decided is the same, the reasons are not. */
function wholeGuest(plan: RestorePlan, why: string): RestorePlan {
  return {
    ...plan,
    mode: 'eager',
    mappedRam: { value: false, why },
    xIgnoreShared: { value: false, why: 'a plain stream has all of the memory in it' },
    multifd: { value: false, why: 'a plain stream from a file has one channel' },
    channels: { value: 1, why: 'a plain stream from a file has one channel' },
    directIo: { value: false, why: 'QEMU reads plain streams through the page cache' },
  };
}

function sourceOf({ path }: StateStream): Source {
  return { address: { transport: 'file', filename: path, offset: 0 }, path };
}

async function load(
  qmp: QmpClient,
  { address, path }: Source,
  mode: RestoreMode,
  snapshot: Snapshot,
  options: LoadOptions,
  warnings: readonly string[] = [],
): Promise<Loaded> {
  const { multifd, channels, directIo, fdset, facts, timeoutMs, signal } = options;
  const wait = { timeoutMs, signal };
  const features = mode === 'eager' ? { multifd, channels, directIo } : {};
  const request = { direction: 'restore', mode, target: address, snapshot, fdset, ...features } as const;
  const plan = await negotiate(qmp, request, { ...wait, facts });
  const applied = await applyPlan(qmp, plan, wait);
  try {
    const loaded = await loadWith(qmp, plan, { address, path }, options);
    return { ...loaded, plan, warnings: [...warnings, ...plan.notes.map(({ words }) => words)] };
  } finally {
    // When the load failed, its error tells more than QEMU's refusal to change settings now.
    await applied.putBack().catch(() => undefined);
  }
}

async function loadWith(
  qmp: QmpClient,
  plan: RestorePlan,
  { address, path }: Source,
  { then, timeoutMs, signal }: LoadOptions,
): Promise<Pick<Loaded, 'runState' | 'loadMs' | 'readyAt'>> {
  const wait = { timeoutMs, signal };
  const access = { path, access: 'read', direct: plan.directIo.value } as const;
  await using set = plan.fdset.value ? await FdSet.open(qmp, { ...access, ...wait }) : undefined;
  await setAutostart(qmp, then, wait);
  const startedAt = performance.now();
  const place = set === undefined ? plan.target.address : { ...address, filename: set.filename };
  await migrateIn(qmp, place, wait);
  const runState = await settle(qmp, then, wait);
  const readyAt = performance.now();
  return { runState, readyAt, loadMs: readyAt - startedAt };
}
