import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';

import { assertClient } from '../qmp/assert-client.ts';
import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError, systemCode } from '../errors.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import { queryDiskUsers, queryOwnDisks } from '../qemu/disk-users.ts';
import { queryFdset } from '../qemu/descriptors.ts';
import { isStoppedGuestAsleep } from '../qemu/is-asleep.ts';
import { assertRequest } from './assert-request.ts';
import { type CaptureFacts, queryCaptureFacts } from './capture/capture-facts.ts';
import { measureDevices } from './device-memory.ts';
import { hostFacts } from './host-facts.ts';
import { makeRestorePlan } from './make-restore-plan.ts';
import { makeSavePlan } from './make-save-plan.ts';
import { planTarget } from './plan-target.ts';
import type { Plan, RestorePlan, SavePlan } from './plan.ts';
import { type QemuFacts, queryQemuFacts } from '../qemu/qemu-facts.ts';
import type { NegotiationRequest, PlanTarget, RestoreRequest, SaveRequest } from './request.ts';
import type { QmpClient } from '../qmp/client.ts';
import { answerOf } from '../qmp/refusal.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/** Options that are no part of the request. */
export interface NegotiateOptions extends WaitOptions {
  /** Facts that this QEMU told a moment ago. @default QEMU is asked */
  readonly facts?: QemuFacts | undefined;
}

/**
 * Works out how to save or restore a guest with this QEMU, on this host, at this place, and says why. Changes nothing
 * anywhere; see `applyPlan`.
 *
 * Features that the request leaves on `auto` degrade where they have to: direct I/O to the page cache, several channels
 * to one, mapped-ram to a plain stream in the same file. Features that the request asks for are provided or refused.
 * The plan never uses another transport than the named one.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when a rule forbids the request, in words; `rule` names the rule.
 *   ERR_MAPPED_RAM_BUSY when a migration is under way. ERR_MAPPED_RAM_INCOMPLETE for a file that QEMU might not
 *   survive, and as `Snapshot.open` for one that is no snapshot, or cannot be read. ERR_MAPPED_RAM_INVALID_URI,
 *   ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for a request that is malformed. Otherwise as {@link
 *   QmpClient.execute}
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
  options: NegotiateOptions = {},
): Promise<Plan> {
  assertClient(qmp);
  assertOptions(options);
  assertRequest(request);
  const { timeoutMs, signal, facts } = options;
  const wait = { timeoutMs, signal };
  const target = planTarget(request.target);
  const isSave = request.direction === 'save';
  const staysStopped = request.direction === 'save' && request.after === 'stop';
  const [qemu, host, givenFds, diskUsers, ownDisks, kvm] = await Promise.all([
    facts ?? queryQemuFacts(qmp, wait),
    hostFacts(target.path, request.direction),
    target.fdset === undefined ? undefined : queryFdset(qmp, target.fdset, wait),
    isSave ? queryDiskUsers(qmp, wait) : [],
    staysStopped ? queryOwnDisks(qmp, wait) : undefined,
    isSave ? answerOf(qmp.execute('query-kvm', undefined, wait)) : undefined,
  ]);
  if (request.direction === 'save') {
    const memory = request.writer === 'qemu' ? qemu.memory : await measureDevices(qmp, qemu.memory, wait);
    const measured = { ...qemu, memory };
    // QEMU's answer is the same for all guests that were saved. It lets those that are asleep go on in no way. QEMU dies
    // of the question when a device that nobody can save has been plugged in since.
    const canAsk = qemu.runState === 'postmigrate' && qemu.blockedReasons.length === 0;
    const capture = await askCapture(qmp, measured, { request, target }, wait);
    const asleep = canAsk ? await isStoppedGuestAsleep(qmp, wait) : undefined;
    return makeSavePlan(
      {
        request,
        target,
        qemu: measured,
        host,
        givenFds,
        diskUsers,
        ownDisks,
        kvm: kvm?.enabled,
        asleep,
        capture,
        snapshot: undefined,
      },
      request,
    );
  }
  const snapshot = await lookInto(target, request, qemu);
  return makeRestorePlan({ request, target, qemu, host, givenFds, diskUsers, snapshot }, request);
}

/** Asks whether the engine could take the guest out of QEMU's process, where it may write. */
async function askCapture(
  qmp: QmpClient,
  { memory, passesDescriptors }: QemuFacts,
  { request, target }: { readonly request: SaveRequest; readonly target: PlanTarget },
  wait: WaitOptions,
): Promise<CaptureFacts | undefined> {
  const { writer = 'auto', base = 'none' } = request;
  if (writer === 'qemu' || memory.length === 0 || !passesDescriptors) return undefined;
  const facts = await queryCaptureFacts(qmp, base === 'none' ? undefined : base, wait);
  if (facts.base === undefined || !('path' in facts.base) || target.path === undefined) return facts;
  const [own, wanted] = await Promise.all([facts.base.path, target.path].map(async (path) => nameOf(path)));
  return { ...facts, base: { ...facts.base, isTarget: own === wanted } };
}

/** The name of a file without links on the way; the one that was given where there is no such file. */
async function nameOf(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

/**
 * Looks into the file that QEMU is to read. Streams that hold the device state only are made by this package, and need
 * no look.
 */
async function lookInto(
  { path, offset }: PlanTarget,
  { snapshot, reader = 'qemu' }: RestoreRequest,
  { passesDescriptors }: QemuFacts,
): Promise<StreamIndex | undefined> {
  if (snapshot !== undefined) return indexOf(snapshot);
  if (reader !== 'qemu' || path === undefined) return undefined;
  try {
    await using opened = await Snapshot.open({ path, offset });
    return opened.index;
  } catch (error) {
    if (!passesDescriptors && isMissing(error, path)) return undefined;
    throw error;
  }
}

async function indexOf(snapshot: NonNullable<RestoreRequest['snapshot']>): Promise<StreamIndex> {
  if (typeof snapshot === 'object' && snapshot !== null && 'index' in snapshot) return snapshot.index;
  return usingSnapshot(snapshot, undefined, async ({ index }) => index);
}

/**
 * True when an error is evidence that a file is on another host, with a QEMU that is not seen to be on this one (only a
 * descriptor that gets to it shows that). The only such evidence is that this host has no file with that name:
 * ENOENT, for that very path. Any other error means that the name exists here and cannot be read: a missing right
 * (EACCES), a failing disk (EIO), a loop of links (ELOOP), a file in the place of a directory (ENOTDIR). A caller that
 * is not told of such an error would look for the fault on the wrong host.
 */
function isMissing(error: unknown, path: string): boolean {
  return error instanceof MappedRamError && error.path === path && systemCode(error.cause) === 'ENOENT';
}
