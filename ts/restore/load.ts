import { applyPlan } from '../qemu/apply-plan.ts';
import { FdSet } from '../qemu/fd-set.ts';
import { migrateIn } from '../qemu/migration.ts';
import { negotiate } from '../qemu/negotiate.ts';
import type { QemuFacts, RestoreMode, RestorePlan, Switch } from '../qemu/plan.ts';
import type { QmpClient } from '../qemu/qmp-client.ts';
import type { WaitOptions } from '../qemu/wait-within.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { FileMigrationAddress } from '../uri/index.ts';
import { procPath } from './anonymous-file.ts';
import { setAutostart, settle, type Then } from './autostart.ts';
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
  const { location, index, reader } = snapshot;
  const path = procPath(reader.fd);
  const filename = 'path' in location ? location.path : path;
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
}

/** Lets QEMU read the state stream: the caller's, or one that is made for this. */
export async function loadStream(
  qmp: QmpClient,
  snapshot: Snapshot,
  { mode, blocks, fresh }: StreamPlace,
  options: LoadOptions,
): Promise<Loaded> {
  // For the negotiation all that counts is that it is a plain stream.
  const planMode = mode === 'eager' ? 'preload' : mode;
  if (options.state !== undefined) {
    return load(qmp, sourceOf(options.state), planMode, snapshot, options, options.state.warnings);
  }
  const { signal } = options;
  await using state = await openStateStream(snapshot, {
    inPlace: blocks,
    mapped: mode === 'instant',
    fresh,
    signal,
  });
  return await load(qmp, sourceOf(state), planMode, snapshot, options, state.warnings);
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
