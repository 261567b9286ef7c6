import { MappedRamError } from '../errors.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import { queryFdset } from '../qemu/descriptors.ts';
import { hostFacts } from './host-facts.ts';
import { makeRestorePlan } from './make-restore-plan.ts';
import { makeSavePlan } from './make-save-plan.ts';
import { planTarget } from './plan-target.ts';
import type {
  NegotiationRequest,
  Plan,
  PlanTarget,
  QemuFacts,
  RestorePlan,
  RestoreRequest,
  SavePlan,
  SaveRequest,
} from './plan.ts';
import { queryQemuFacts } from './qemu-facts.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';

export interface NegotiateOptions extends WaitOptions {
  /** What this QEMU has told of itself a moment ago. @default QEMU is asked */
  readonly facts?: QemuFacts | undefined;
}

/**
 * Works out how to save or restore a guest with this QEMU, on this host, at this place, and says why. Changes nothing
 * anywhere; see `applyPlan`.
 *
 * What the request leaves on `auto` degrades where it has to: direct I/O to the page cache, several channels to one,
 * mapped-ram to a plain stream in the same file. What it asks for is had or refused. No transport but the one that was
 * named is ever used.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when a rule forbids what was asked for, in words; its `cause` is a
 *   RuleRefusal. ERR_MAPPED_RAM_INCOMPLETE for a file that QEMU might not survive, and as `Snapshot.open` for one that is
 *   no snapshot. ERR_MAPPED_RAM_INVALID_URI, ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for a request
 *   that is none. Otherwise as {@link QmpClient.execute}
 */
export function negotiate(
  qmp: QmpClient,
  request: SaveRequest,
  options?: NegotiateOptions,
): Promise<SavePlan>;
export function negotiate(
  qmp: QmpClient,
  request: RestoreRequest,
  options?: NegotiateOptions,
): Promise<RestorePlan>;
export function negotiate(
  qmp: QmpClient,
  request: NegotiationRequest,
  options?: NegotiateOptions,
): Promise<Plan>;
export async function negotiate(
  qmp: QmpClient,
  request: NegotiationRequest,
  { timeoutMs, signal, facts }: NegotiateOptions = {},
): Promise<Plan> {
  const wait = { timeoutMs, signal };
  const target = planTarget(request.target);
  const [qemu, host, givenFds] = await Promise.all([
    facts ?? queryQemuFacts(qmp, wait),
    hostFacts(target.path, request.direction),
    target.fdset === undefined ? undefined : queryFdset(qmp, target.fdset, wait),
  ]);
  if (request.direction === 'save') {
    return makeSavePlan({ request, target, qemu, host, givenFds, snapshot: undefined }, request);
  }
  const snapshot = await lookInto(target, request, qemu);
  return makeRestorePlan({ request, target, qemu, host, givenFds, snapshot }, request);
}

/** What is in the file that QEMU is to load. The state streams of the other modes are our own. */
async function lookInto(
  { path, offset }: PlanTarget,
  { snapshot, mode = 'eager' }: RestoreRequest,
  { passesDescriptors }: QemuFacts,
): Promise<StreamIndex | undefined> {
  if (snapshot !== undefined) return indexOf(snapshot);
  if (mode !== 'eager' || path === undefined) return undefined;
  try {
    await using opened = await Snapshot.open({ path, offset });
    return opened.index;
  } catch (error) {
    // QEMU may be on another host, and the file with it.
    if (!passesDescriptors && error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_IO') {
      return undefined;
    }
    throw error;
  }
}

async function indexOf(snapshot: NonNullable<RestoreRequest['snapshot']>): Promise<StreamIndex> {
  if (typeof snapshot === 'object' && 'index' in snapshot) return snapshot.index;
  return usingSnapshot(snapshot, undefined, async ({ index }) => index);
}
