import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { QmpVersion } from '../qmp/message.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import { queryGuestMemory } from './guest-memory.ts';
import type { MemoryBlock } from './memory-block.ts';
import { querySettings, type Settings } from './settings.ts';

/** What a running QEMU can do and is doing, asked of it, never guessed from its version. */
export interface QemuFacts {
  readonly version: QmpVersion;
  readonly features: QemuFeatures;
  /** `running`, `paused`, `inmigrate`, `postmigrate`, …; query-status. */
  readonly runState: string;
  /** `none` before the first migration; query-migrate. */
  readonly migrationStatus: string;
  /** Why this guest cannot be migrated, in QEMU's words. */
  readonly blockedReasons: readonly string[];
  /** Capabilities by name, as query-migrate-capabilities has them. A name that is missing does not exist in this QEMU. */
  readonly capabilities: ReadonlyMap<string, boolean>;
  /** Parameters by name, as query-migrate-parameters has them. */
  readonly parameters: ReadonlyMap<string, unknown>;
  /** Whether descriptors can be handed over on this connection: it is a unix socket. */
  readonly passesDescriptors: boolean;
  /** Every RAM block of the machine, largest first; empty when this QEMU does not tell. */
  readonly memory: readonly MemoryBlock[];
}

/** Features of a QEMU, found out by asking, never out of a version number. */
export interface QemuFeatures {
  /** Capability mapped-ram: QEMU 9.0 and later. */
  readonly mappedRam: boolean;
  /** Capability multifd. */
  readonly multifd: boolean;
  /** Capability x-ignore-shared. */
  readonly xIgnoreShared: boolean;
  /** Parameter direct-io. The same release, 9.1, brought O_DIRECT for fdsets and left bytes before `offset=` alone. */
  readonly directIo: boolean;
  /** Parameter zero-page-detection. */
  readonly zeroPageDetection: boolean;
  /** Commands add-fd, remove-fd and query-fdsets. */
  readonly fdsets: boolean;
  /** x-ignore-shared together with mapped-ram: QEMU 11.0 and later. */
  readonly mappedRamIgnoresShared: boolean;
}

/**
 * Asks a running QEMU for all that matters to a save or a restore. Changes nothing. The schema is not asked for: QEMU
 * writes at that for longer (65 ms) than a clone takes to start, and what matters here shows in the answers to cheaper
 * questions.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryQemuFacts(
  qmp: QmpClient,
  { timeoutMs, signal }: WaitOptions = {},
): Promise<QemuFacts> {
  const options = { timeoutMs, signal };
  const [settings, status, migration, memory] = await Promise.all([
    querySettings(qmp, options),
    qmp.execute('query-status', undefined, options),
    qmp.execute('query-migrate', undefined, options),
    queryGuestMemory(qmp, options),
  ]);
  return {
    version: qmp.version,
    features: await queryFeatures(qmp, settings, options),
    runState: status.status,
    migrationStatus: migration.status ?? 'none',
    blockedReasons: migration['blocked-reasons'] ?? [],
    ...settings,
    passesDescriptors: qmp.passesDescriptors,
    memory,
  };
}

/**
 * Asks what a QEMU can do, guest or no guest.
 * @param settings all that it has
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryFeatures(
  qmp: QmpClient,
  { capabilities, parameters }: Settings,
  wait: WaitOptions,
): Promise<QemuFeatures> {
  const mappedRam = capabilities.has('mapped-ram');
  const xIgnoreShared = capabilities.has('x-ignore-shared');
  const [fdsets, hasProperty] = await Promise.all([
    hasFdsets(qmp, wait),
    mappedRam && xIgnoreShared && hasIgnoreSharedProperty(qmp, wait),
  ]);
  return {
    mappedRam,
    multifd: capabilities.has('multifd'),
    xIgnoreShared,
    directIo: parameters.has('direct-io'),
    zeroPageDetection: parameters.has('zero-page-detection'),
    fdsets,
    mappedRamIgnoresShared: hasProperty,
  };
}

async function hasFdsets(qmp: QmpClient, wait: WaitOptions): Promise<boolean> {
  return Array.isArray(await answerOf(qmp.execute('query-fdsets', undefined, wait)));
}

/**
 * Nothing tells directly whether mapped-ram and x-ignore-shared go together. But the series that repaired it for 11.0
 * also made x-ignore-shared a property of the migration object, which QEMU lists.
 */
async function hasIgnoreSharedProperty(qmp: QmpClient, wait: WaitOptions): Promise<boolean> {
  const properties = await answerOf(qmp.execute('device-list-properties', { typename: 'migration' }, wait));
  return properties?.some(({ name }) => name === 'x-ignore-shared') ?? false;
}

/** Returns QEMU's answer to a question; undefined when QEMU does not know the question. */
async function answerOf<T>(question: Promise<T>): Promise<T | undefined> {
  try {
    return await question;
  } catch (error) {
    if (isQmpRefusal(error)) return undefined;
    throw error;
  }
}
