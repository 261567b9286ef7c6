import { assertClient } from '../qmp/assert-client.ts';
import { procPath } from '../io/anonymous-file.ts';
import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { SaveRequest } from '../negotiate/request.ts';
import { comingMemoryOf } from '../qemu/memory/coming-memory.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { SaveAhead } from './ahead/save-ahead.ts';
import { Sealing } from '../seal/sealing.ts';
import { SEAL_OF } from '../seal/seal-file.ts';
import { createOutput } from '../snapshot/snapshot-target.ts';
import { assertNotStoppedAsleep, forgotten } from './run-state/assert-run-state.ts';
import { orLeaveToQemu } from './capture/unreadable-state.ts';
import { refuseIfClaimed } from './claim.ts';
import { finish, publishSeal } from './finish.ts';
import { type Prepared, prepare } from './prepare.ts';
import { isBeingBroughtBack, Protection } from './protection.ts';
import { stoodStillInstead } from './live/live-options.ts';
import type { SaveOptions, SaveResult } from './save-options.ts';
import { makePlan } from './plan/make-plan.ts';
import { planForm } from './plan/plan-form.ts';
import { ProgressTeller } from './save-progress.ts';
import type { SaveRun } from './save-run.ts';
import { withinTime } from './within-time.ts';
import { writeGuest, type WrittenGuest } from './write-guest.ts';

/** Connections over which a save is under way. */
const busy = new WeakSet<QmpClient>();

/**
 * Saves a guest: works out how (see `negotiate`), stops the guest, lets QEMU or the engine write, checks that the
 * result is complete, and publishes the file: fsynced, then renamed. A guest that is to run goes on as soon as its
 * memory has been read. With `live` the guest runs while QEMU writes, and is stopped for the last of its memory only.
 *
 * An error or an abort leaves nothing: no file, no descriptor, no setting in QEMU, and the guest goes on as before.
 * With `guard` the same holds when this process is killed. A lost connection is opened again for that, where its
 * address is known.
 *
 * @param target a path, a `file:` migration URI or URL; with `mappedRam: 'off'` any migration URI or address
 * @throws {MappedRamError} as `negotiate` when it is not possible as asked for, naming the rule; ERR_MAPPED_RAM_EXISTS;
 *   ERR_MAPPED_RAM_BUSY when another save or migration has the guest, or the last save still brings QEMU back;
 *   ERR_MAPPED_RAM_UNSUPPORTED for a guest that is asleep and is not to end, because QEMU can only lose it;
 *   ERR_MAPPED_RAM_QEMU when QEMU fails or dies; ERR_MAPPED_RAM_TIMEOUT when it takes too long,
 *   or a live save comes to a bound at which it is to be abandoned;
 *   ERR_MAPPED_RAM_INCOMPLETE when QEMU reports success and the file is not complete; ERR_MAPPED_RAM_IO; what the
 *   engine throws, as `pack`
 */
export async function save(
  qmp: QmpClient,
  target: SaveRequest['target'],
  options: SaveOptions = {},
): Promise<SaveResult> {
  return saveTo(qmp, target, options, {});
}

/** The place of a save without a name, and what its caller has to do with it. */
interface Inner {
  /** A descriptor that the snapshot goes into. */
  readonly into?: number;
  readonly ahead?: SaveAhead | undefined;
  /** Called, perhaps more than once, when all is written. It is checked when the promise has settled. */
  readonly whenWritten?: (() => Promise<void>) | undefined;
  /** Called when the snapshot is checked. QEMU is brought to its final state when the promise has settled. */
  readonly whenChecked?: () => Promise<void>;
}

/** The options of a save that have a use where the snapshot gets no name. */
export type SaveIntoOptions = Omit<SaveOptions, 'overwrite' | 'seal' | 'sealPath'>;

/**
 * Saves a guest as `save` does, into a file without a name: in memory, for example, where a killed process leaves nothing
 * of it. The file is written in place, from its beginning; after an error it is empty.
 *
 * @param fd a descriptor that is open for reading and writing. It stays the caller's
 * @param inner `ahead` has what was made for the same arguments before
 * @returns as `save`, without a path
 * @throws {MappedRamError} as `save`; ERR_MAPPED_RAM_UNSUPPORTED for anything but a regular file;
 *   ERR_MAPPED_RAM_INVALID_ARGUMENT for a descriptor that does not write
 */
export async function saveInto(
  qmp: QmpClient,
  fd: number,
  options: SaveIntoOptions = {},
  inner: Omit<Inner, 'into'> = {},
): Promise<SaveResult> {
  return saveTo(qmp, procPath(fd), options, { ...inner, into: fd });
}

/** Works out what `saveInto` would do with the same arguments, and why. @throws {MappedRamError} as `planSave` @internal */
export async function planSaveInto(qmp: QmpClient, fd: number, options: SaveIntoOptions): Promise<SavePlan> {
  return planTo(qmp, procPath(fd), options, fd);
}

async function saveTo(
  qmp: QmpClient,
  target: SaveRequest['target'],
  options: SaveOptions,
  inner: Inner,
): Promise<SaveResult> {
  const startedAt = performance.now();
  assertClient(qmp);
  assertOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  if (busy.has(qmp)) {
    throw new MappedRamError('ERR_MAPPED_RAM_BUSY', 'a save is under way already on this connection');
  }
  if (isBeingBroughtBack(qmp)) {
    throw new MappedRamError('ERR_MAPPED_RAM_BUSY', 'QEMU has not answered since the last save was given up');
  }
  busy.add(qmp);
  try {
    return await withinTime(options, async (limit) => {
      const { into, ahead } = inner;
      // Nothing can be said of what QEMU lacks once it has been told that it has everything.
      using _ = await comingMemoryOf(qmp)?.hold(limit);
      const [standing] = await Promise.all([
        ahead?.plan(qmp, { signal: limit }),
        refuseIfClaimed(qmp, { signal: limit }),
      ]);
      const limited = { ...options, signal: limit };
      const plan = standing ?? (await makePlan(qmp, target, limited, into));
      const saved = await carryOut(qmp, plan, limited, inner).catch(
        orLeaveToQemu(limited, async (other) =>
          carryOut(qmp, await makePlan(qmp, target, other, into), other, inner),
        ),
      );
      return { ...saved, elapsedMs: performance.now() - startedAt };
    });
  } finally {
    busy.delete(qmp);
  }
}

/**
 * Works out what `save` would do with the same arguments, and why. Changes nothing.
 * @throws {MappedRamError} as `negotiate`, `assertRunState`, `assertNotStoppedAsleep` and `planForm`; ERR_MAPPED_RAM_EXISTS;
 *   ERR_MAPPED_RAM_IO for a target that cannot be made or replaced, or whose medium cannot hold the snapshot;
 *   ERR_MAPPED_RAM_INVALID_ARGUMENT for options of the engine where QEMU writes, and for a word that its option does not
 *   take; ERR_MAPPED_RAM_TIMEOUT
 */
export async function planSave(
  qmp: QmpClient,
  target: SaveRequest['target'],
  options: SaveOptions = {},
): Promise<SavePlan> {
  return planTo(qmp, target, options, undefined);
}

async function planTo(
  qmp: QmpClient,
  target: SaveRequest['target'],
  options: SaveOptions,
  into: number | undefined,
): Promise<SavePlan> {
  assertClient(qmp);
  assertOptions(options);
  return withinTime(options, async (signal) => {
    const plan = await makePlan(qmp, target, { ...options, signal }, into);
    await assertNotStoppedAsleep(qmp, plan.qemu.runState, options.after, { signal });
    return { ...plan, form: await planForm(plan, { ...options, signal }, into) };
  });
}

async function carryOut(
  qmp: QmpClient,
  plan: SavePlan,
  options: SaveOptions,
  { into, ahead, whenWritten, whenChecked }: Inner,
): Promise<Omit<SaveResult, 'elapsedMs'>> {
  const { signal, overwrite } = options;
  const { offset } = plan.target;
  const path = into === undefined ? plan.target.path : undefined;
  const progress = new ProgressTeller(options.onProgress);
  // Every step that can fail without QEMU comes while the guest runs, and so does all that need not find it stopped.
  const place = into === undefined ? path && { path, offset } : { fd: into, directFd: undefined, offset };
  await using output = place
    ? await createOutput(place, { overwrite, signal, companions: SEAL_OF })
    : undefined;
  await using sealing = await Sealing.begin(path, options);
  const protection = await Protection.start(qmp, options.guard ?? 'auto', { signal });
  let prepared: Prepared;
  let done: WrittenGuest;
  try {
    prepared = await prepare(qmp, plan, options, protection);
    const { before, tag } = prepared;
    const inMemory = into !== undefined;
    const run: SaveRun = { qmp, plan, options, tag, before, progress, ahead, whenWritten, inMemory };
    const toFile = output === undefined ? undefined : { ...run, output, sealing };
    done = await writeGuest(run, toFile, prepared, protection);
  } catch (error) {
    throw await protection.recover(error);
  }
  await whenWritten?.();
  await whenChecked?.();
  const { written, pauseMs } = done;
  // The snapshot has its name: a later failure does not take it away.
  const sealed = await publishSeal(sealing);
  const { before, settings } = prepared;
  // A guest that has ended of its own meanwhile cannot go on.
  const after = written.endedAs !== undefined && prepared.after === 'cont' ? 'stop' : prepared.after;
  const unprotected = protection.warnings;
  const finished = await finish(qmp, { after, path, before: settings.before }, protection);
  const lost = forgotten(written.endedAs ?? before, finished.runState);
  const stood = stoodStillInstead(plan, before);
  const warnings = [
    ...written.warnings,
    ...(stood === undefined ? [] : [stood]),
    ...plan.notes.flatMap(({ effect, words }) => (effect === 'warn' ? [words] : [])),
    ...unprotected,
    ...sealed.warnings,
    ...finished.warnings,
    ...(lost === undefined ? [] : [lost]),
  ];
  return {
    path,
    offset,
    size: written.size,
    verified: output !== undefined,
    writer: plan.writer.value,
    writerWhy: plan.writer.why,
    format: plan.format,
    plan,
    blocks: written.blocks,
    transfer: written.transfer,
    seal: sealed.path,
    migration: written.migration,
    capture: written.capture,
    runState: finished.runState,
    warnings,
    live: written.live,
    pauseMs,
  };
}
