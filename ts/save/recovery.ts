import { putBackSettings, type Settings } from '../qemu/apply-plan.ts';
import { removeFdSet } from '../qemu/fd-set.ts';
import { queryMigration } from '../qemu/migration-info.ts';
import type { QmpClient } from '../qemu/qmp-client.ts';
import { parseQmpJson, stringifyQmpJson, isQmpObject, type QmpArgument } from '../qemu/qmp-json.ts';
import { untilFinalized } from '../qemu/until-finalized.ts';

/** How a QEMU was before a save: all that it takes to bring it back there, whoever does it. */
export interface Recovery {
  /** Whether the guest is to run again. */
  readonly ran: boolean;
  /** What the save changes, as it was. */
  readonly before: Settings;
  /** What the save's fdset is found by. */
  readonly tag: string;
}

const WAIT = { timeoutMs: 10_000 };
/** A migration that was ended, whichever way, or never begun. */
const ENDED = new Set(['none', 'completed', 'failed', 'cancelled']);
/** A guest in one of these was stopped for the save. In any other it has stopped by itself, and stays so. */
const STOPPED = new Set(['paused', 'postmigrate']);

/**
 * Brings a QEMU back to where it was: cancels a migration that is under way, puts settings back, takes the fdset away,
 * and lets the guest run. Each of these is tried whatever comes of the others. What is right already is left alone.
 *
 * @throws {MappedRamError} what went wrong first: as {@link QmpClient.execute}
 */
export async function recover(qmp: QmpClient, { ran, before, tag }: Recovery): Promise<void> {
  const steps = [
    () => endMigration(qmp),
    // The guest has waited long enough.
    async () => (ran ? letRun(qmp) : undefined),
    () => putBackSettings(qmp, before),
    () => removeFdSet(qmp, tag),
  ];
  const errors: unknown[] = [];
  for (const step of steps) await step().catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}

/** Lets a guest run that was stopped for a save. */
export async function letRun(qmp: QmpClient): Promise<void> {
  await untilFinalized(qmp, WAIT);
  const { status } = await qmp.execute('query-status', undefined, WAIT);
  if (STOPPED.has(status)) await qmp.execute('cont', undefined, WAIT);
}

async function endMigration(qmp: QmpClient): Promise<void> {
  const { status } = await queryMigration(qmp, WAIT);
  if (ENDED.has(status)) return;
  await qmp.execute('migrate_cancel', undefined, WAIT);
  await untilFinalized(qmp, WAIT);
}

/** As a line of text, for another process. */
export function formatRecovery({ ran, before, tag }: Recovery): string {
  const parameters = Object.fromEntries(before.parameters);
  return stringifyQmpJson({ ran, tag, capabilities: Object.fromEntries(before.capabilities), parameters });
}

/** @throws {Error} for what `formatRecovery` has not made */
export function parseRecovery(line: string): Recovery {
  const value = parseQmpJson(line);
  if (!isQmpObject(value)) throw new Error('not a recovery');
  const { ran, tag, capabilities, parameters } = value;
  if (!isQmpObject(capabilities) || !isQmpObject(parameters) || typeof tag !== 'string') {
    throw new Error('not a recovery');
  }
  return {
    ran: ran === true,
    tag,
    before: {
      capabilities: new Map(Object.entries(capabilities).map(([name, state]) => [name, state === true])),
      parameters: new Map<string, QmpArgument>(Object.entries(parameters)),
    },
  };
}
