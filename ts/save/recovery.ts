import { MappedRamError } from '../errors.ts';
import { putBackSettings } from '../negotiate/apply-plan.ts';
import type { Settings } from '../qemu/settings.ts';
import { cancelMigration } from '../qemu/cancel-migration.ts';
import { removeFdSet } from '../qemu/fd-set.ts';
import { isComing, isUnderWay, queryMigration } from '../qemu/migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import { parseQmpJson, stringifyQmpJson, isQmpObject, type QmpArgument, type QmpValue } from '../qmp/json.ts';
import { untilFinalized } from '../qemu/until-finalized.ts';
import { type Claim, hasClaim, removeClaim } from './claim.ts';

/** All that a process needs to know in order to bring a QEMU where it is to be after a save. */
export interface Recovery {
  /** The tag that identifies the save's fdset and its claim. */
  readonly tag: string;
  /** The state of the claim. A recovery changes nothing in a QEMU whose guest somebody else has claimed. */
  readonly claim: Claim;
  /** The state to bring QEMU to; undefined while the save has changed nothing but the claim, and given a descriptor. */
  readonly goal: Goal | undefined;
}

/** The state that a QEMU is to be in after a save. */
export interface Goal {
  /** True when the guest is to run, or to sleep on. */
  readonly runs: boolean;
  /**
   * True when the caller asked for a guest that runs, whatever it did before: it leaves a state of its own, too, unless
   * only a reset leads out of that.
   */
  readonly asked: boolean;
  /** True when the guest is asleep. Out of `postmigrate` QEMU would end instead of letting it sleep on. */
  readonly sleeps: boolean;
  /** The settings that the save changes, with their former values. */
  readonly before: Settings;
}

const WAIT = { timeoutMs: 10_000 };
/**
 * A guest in one of these states was stopped for the save. A guest in any other state has stopped by itself, or has not
 * begun; it stays so, unless the caller asked for one that runs.
 */
const STOPPED: ReadonlySet<string> = new Set(['paused', 'postmigrate']);
/** A guest in one of these states has gone on. */
const GOING: ReadonlySet<string> = new Set(['running', 'suspended']);

/**
 * Brings a QEMU where it is to be: cancels a migration that is under way, lets the guest run, puts settings back, takes
 * the fdset and the claim away. Each step is tried whatever comes of the others. A step that finds nothing to do
 * changes nothing.
 *
 * @throws {MappedRamError} the first failure: as {@link QmpClient.execute}
 */
export async function recover(qmp: QmpClient, { tag, claim, goal }: Recovery): Promise<void> {
  if (claim === 'claimed' && !(await hasClaim(qmp, tag, WAIT))) return;
  const changed =
    goal === undefined
      ? []
      : [
          () => endMigration(qmp),
          // The guest comes before the settings: it has waited long enough.
          async () => (goal.runs ? letRun(qmp, goal) : undefined),
          () => putBackSettings(qmp, goal.before),
        ];
  const given = async (): Promise<void> => {
    await removeFdSet(qmp, tag, true);
  };
  const steps = [
    ...changed,
    given,
    async () => (claim === 'claimed' ? removeClaim(qmp, tag, WAIT) : undefined),
  ];
  const errors: unknown[] = [];
  for (const step of steps) {
    await step().catch((error: unknown) => errors.push(error));
    // A QEMU that does not answer one question does not answer the next.
    if (errors.some(isLate)) break;
  }
  if (errors.length > 0) throw errors[0];
}

/**
 * Brings back a QEMU that may not answer for a long time: tries again until it answers. Only a missing answer is a
 * reason to try again: any other failure would recur without end.
 *
 * @throws {MappedRamError} as {@link recover}; ERR_MAPPED_RAM_TIMEOUT only when the connection is closed
 */
export async function recoverAtLast(qmp: QmpClient, recovery: Recovery): Promise<void> {
  for (;;) {
    try {
      return await recover(qmp, recovery);
    } catch (error) {
      if (!isLate(error) || !qmp.isOpen) throw error;
    }
  }
}

/**
 * Lets a guest run, or sleep on, that was stopped for a save.
 * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU for a sleeping guest whose state QEMU has written; as
 *   {@link QmpClient.execute}
 */
export async function letRun(qmp: QmpClient, how: Pick<Goal, 'asked' | 'sleeps'>): Promise<void> {
  await untilFinalized(qmp, WAIT);
  await letRunNow(qmp, how);
}

const AS_BEFORE = { asked: false, sleeps: false };

/**
 * As `letRun`, behind a migration that QEMU has cleared up behind (`untilFinalized`).
 * @param known the guest's run state, when QEMU has just told it
 * @throws {MappedRamError} as `letRun`
 */
export async function letRunNow(
  qmp: QmpClient,
  { asked, sleeps }: Pick<Goal, 'asked' | 'sleeps'> = AS_BEFORE,
  known?: string,
): Promise<void> {
  const status = known ?? (await qmp.execute('query-status', undefined, WAIT)).status;
  if (sleeps && status === 'postmigrate') {
    const words =
      'the guest was asleep, and QEMU would end if it were to go on; only quit and system_reset are left';
    throw new MappedRamError('ERR_MAPPED_RAM_QEMU', words);
  }
  const isToRun = asked ? !GOING.has(status) : STOPPED.has(status);
  if (isToRun) await qmp.execute('cont', undefined, WAIT);
}

async function endMigration(qmp: QmpClient): Promise<void> {
  const { status } = await queryMigration(qmp, WAIT);
  // A memory that is on its way into the guest is no part of any save.
  if (!isUnderWay(status) || isComing(status)) return;
  await cancelMigration(qmp, WAIT);
}

function isLate(error: unknown): boolean {
  return error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_TIMEOUT';
}

/** Writes a recovery as a line of text, for another process. */
export function formatRecovery({ tag, claim, goal }: Recovery): string {
  if (goal === undefined) return stringifyQmpJson({ tag, claim });
  const { runs, asked, sleeps, before } = goal;
  return stringifyQmpJson({
    tag,
    claim,
    goal: {
      runs,
      asked,
      sleeps,
      capabilities: Object.fromEntries(before.capabilities),
      parameters: Object.fromEntries(before.parameters),
    },
  });
}

/** @throws {Error} for a line that `formatRecovery` did not write */
export function parseRecovery(line: string): Recovery {
  const value = parseQmpJson(line);
  if (!isQmpObject(value) || typeof value['tag'] !== 'string') throw new Error('not a recovery');
  const { tag, claim, goal } = value;
  return {
    tag,
    claim: claim === 'claimed' ? claim : 'no-objects',
    goal: goal === undefined ? undefined : parseGoal(goal),
  };
}

function parseGoal(value: QmpValue): Goal {
  if (!isQmpObject(value)) throw new Error('not a goal');
  const { runs, asked, sleeps, capabilities, parameters } = value;
  if (!isQmpObject(capabilities) || !isQmpObject(parameters)) throw new Error('not a goal');
  return {
    runs: runs === true,
    asked: asked === true,
    sleeps: sleeps === true,
    before: {
      capabilities: new Map(Object.entries(capabilities).map(([name, state]) => [name, state === true])),
      parameters: new Map<string, QmpArgument>(Object.entries(parameters)),
    },
  };
}
