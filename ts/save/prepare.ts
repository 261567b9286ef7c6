import { MappedRamError } from '../errors.ts';
import { PlanSettings } from '../negotiate/apply-plan.ts';
import { isComingBase } from '../negotiate/capture/found-base.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { AfterSave } from '../negotiate/request.ts';
import { newFdSetTag } from '../qemu/fd-set.ts';
import { isComing, isUnderWay, queryMigration } from '../qemu/migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import { assertNotStoppedAsleep, assertRunState, isLive } from './run-state/assert-run-state.ts';
import { claimGuest } from './claim.ts';
import type { Protection } from './protection.ts';
import type { SaveOptions } from './save-options.ts';

/** A guest that is claimed for a save, and unchanged. */
export interface Prepared {
  /** The tag of every descriptor that QEMU is given, and of the claim. */
  readonly tag: string;
  /** QEMU's run state at the beginning of the save. */
  readonly before: string;
  readonly after: AfterSave;
  /** QEMU's settings, read and not changed yet. */
  readonly settings: PlanSettings;
}

/**
 * Claims the guest, and makes sure that QEMU is brought back to its present state. Changes nothing else.
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY, ERR_MAPPED_RAM_UNSUPPORTED when the guest has changed since the plan; as
 *   {@link QmpClient.execute}
 */
export async function prepare(
  qmp: QmpClient,
  plan: SavePlan,
  { after, signal }: SaveOptions,
  protection: Protection,
): Promise<Prepared> {
  const tag = newFdSetTag();
  await protection.aim({ tag, claim: 'claimed', goal: undefined });
  const claim = await claimGuest(qmp, tag, { signal });
  await protection.aim({ tag, claim, goal: undefined });
  // The plan was made a while ago, when nobody was kept out.
  const [{ status: migration }, { status: before }, settings] = await Promise.all([
    queryMigration(qmp, { signal }),
    qmp.execute('query-status', undefined, { signal }),
    PlanSettings.read(qmp, plan, { signal }),
  ]);
  const isBases = isComing(migration) && isComingBase(plan.capture?.base);
  if (isUnderWay(migration) && !isBases) {
    throw new MappedRamError('ERR_MAPPED_RAM_BUSY', `a migration is under way already (${migration})`);
  }
  // The guest may have fallen asleep, or ended.
  assertRunState(before, after);
  await assertNotStoppedAsleep(qmp, before, after, { tag, signal });
  const runs = isLive(before);
  await protection.aim({
    tag,
    claim,
    goal: { runs, asked: false, sleeps: before === 'suspended', before: settings.before },
  });
  return { tag, before, after: after ?? (runs ? 'cont' : 'stop'), settings };
}
