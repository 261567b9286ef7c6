import { queryGuestMemory } from '../qemu/guest-memory.ts';
import type { QemuFacts } from './plan.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/**
 * Asks a running QEMU for all that matters to a save or a restore. Changes nothing. Not for its schema: QEMU writes at
 * that for longer (65 ms) than a clone takes to start, and what matters here shows in the answers to cheaper questions.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryQemuFacts(
  qmp: QmpClient,
  { timeoutMs, signal }: WaitOptions = {},
): Promise<QemuFacts> {
  const options = { timeoutMs, signal };
  const [states, parameterValues, status, migration, memory, fdsets] = await Promise.all([
    qmp.execute('query-migrate-capabilities', undefined, options),
    qmp.execute('query-migrate-parameters', undefined, options),
    qmp.execute('query-status', undefined, options),
    qmp.execute('query-migrate', undefined, options),
    queryGuestMemory(qmp, options),
    isUnderstood(qmp.execute('query-fdsets', undefined, options)),
  ]);
  const capabilities = new Map(states.map(({ capability, state }): [string, boolean] => [capability, state]));
  const parameters = new Map(Object.entries(parameterValues));
  const mappedRam = capabilities.has('mapped-ram');
  const xIgnoreShared = capabilities.has('x-ignore-shared');
  return {
    version: qmp.version,
    features: {
      mappedRam,
      multifd: capabilities.has('multifd'),
      xIgnoreShared,
      directIo: parameters.has('direct-io'),
      zeroPageDetection: parameters.has('zero-page-detection'),
      fdsets,
      mappedRamIgnoresShared: mappedRam && xIgnoreShared && (await hasIgnoreSharedProperty(qmp, options)),
    },
    runState: status.status,
    migrationStatus: migration.status ?? 'none',
    blockedReasons: migration['blocked-reasons'] ?? [],
    capabilities,
    parameters,
    passesDescriptors: qmp.passesDescriptors,
    memory,
  };
}

/**
 * Nothing tells directly whether mapped-ram and x-ignore-shared go together. But the series that repaired it for 11.0
 * also made x-ignore-shared a property of the migration object, which QEMU lists.
 */
async function hasIgnoreSharedProperty(qmp: QmpClient, options: WaitOptions): Promise<boolean> {
  const properties = qmp.execute('device-list-properties', { typename: 'migration' }, options);
  if (!(await isUnderstood(properties))) return false;
  return (await properties).some(({ name }) => name === 'x-ignore-shared');
}

/** Whether QEMU answers a question, or does not know it. */
async function isUnderstood(question: Promise<unknown>): Promise<boolean> {
  try {
    await question;
    return true;
  } catch (error) {
    if (isQmpRefusal(error)) return false;
    throw error;
  }
}
