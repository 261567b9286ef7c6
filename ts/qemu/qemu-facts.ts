import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { QmpVersion } from '../qmp/message.ts';
import { answerOf } from '../qmp/refusal.ts';
import { queryGuestMemory } from './guest-memory.ts';
import type { MemoryBlock } from './memory-block.ts';
import { querySettings, type Settings } from './settings.ts';

/** Features and state of a running QEMU. Its answers are the source, never its version number. */
export interface QemuFacts {
  readonly version: QmpVersion;
  readonly features: QemuFeatures;
  /** The answer of query-status: `running`, `paused`, `inmigrate`, `postmigrate`, …. */
  readonly runState: string;
  /** The answer of query-migrate: `none` before the first migration. */
  readonly migrationStatus: string;
  /** Reasons why this guest cannot be migrated, in QEMU's words. */
  readonly blockedReasons: readonly string[];
  /**
   * Capabilities by name, as query-migrate-capabilities lists them. A name that is missing does not exist in this QEMU.
   */
  readonly capabilities: ReadonlyMap<string, boolean>;
  /** Parameters by name, as query-migrate-parameters lists them. */
  readonly parameters: ReadonlyMap<string, unknown>;
  /** True when this connection can carry descriptors: it is a unix socket. */
  readonly passesDescriptors: boolean;
  /** Every RAM block of the machine, largest first; empty when this QEMU does not list them. */
  readonly memory: readonly MemoryBlock[];
}

/** Features of a QEMU. Questions to QEMU find them, never a version number. */
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
 * Asks a running QEMU for all that matters to a save or a restore. Changes nothing. The schema is left out: QEMU needs
 * longer to write it (65 ms) than a clone needs to start, and the answers to cheaper questions tell the same.
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
 * Asks a QEMU for its features, with or without a guest.
 * @param settings all settings of this QEMU
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
 * True when mapped-ram and x-ignore-shared go together. QEMU does not say so directly. But the series that repaired
 * this combination for 11.0 also made x-ignore-shared a property of the migration object, which QEMU lists.
 */
async function hasIgnoreSharedProperty(qmp: QmpClient, wait: WaitOptions): Promise<boolean> {
  const properties = await answerOf(qmp.execute('device-list-properties', { typename: 'migration' }, wait));
  return properties?.some(({ name }) => name === 'x-ignore-shared') ?? false;
}
