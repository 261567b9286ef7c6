import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpObject, type QmpObject, type QmpValue } from '../qmp/json.ts';
import type { QmpVersion } from '../qmp/message.ts';
import { answerOf } from '../qmp/refusal.ts';
import { identifyQemu } from './identify-qemu.ts';
import { queryGuestMemory } from './memory/guest-memory.ts';
import type { MemoryBlock } from './memory/memory-block.ts';
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
  /** True when descriptors that go into this connection arrive in QEMU, which then is on this host. */
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
  /** Capability x-ignore-shared, which QEMU may be told to refuse (`-compat unstable-input=reject`). */
  readonly xIgnoreShared: boolean;
  /** Parameter direct-io. The same release, 9.1, brought O_DIRECT for fdsets and left bytes before `offset=` alone. */
  readonly directIo: boolean;
  /** Parameter zero-page-detection. */
  readonly zeroPageDetection: boolean;
  /** Commands add-fd, remove-fd and query-fdsets. */
  readonly fdsets: boolean;
  /** x-ignore-shared together with mapped-ram: QEMU 11.0 and later. */
  readonly mappedRamIgnoresShared: boolean;
  /** Migration to and from files by their name (`file:`): QEMU 8.2 and later. */
  readonly fileTransport: boolean;
  /** Memory backends that map a part of a file privately: QEMU 8.2 and later. */
  readonly mapsParts: boolean;
  /**
   * x-ignore-shared leaves out only shared memory in files with names: QEMU 8.1 and later. Before, it leaves out all
   * shared memory (docs/format.md §10).
   */
  readonly ignoresNamedOnly: boolean;
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
  const [settings, { passesDescriptors }, status, migration, memory] = await Promise.all([
    querySettings(qmp, options),
    identifyQemu(qmp, options),
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
    passesDescriptors,
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
  const xIgnoreShared = await isSettable(qmp, 'x-ignore-shared', capabilities, wait);
  const [fdsets, hasProperty, fileTransport, backend] = await Promise.all([
    hasFdsets(qmp, wait),
    mappedRam && xIgnoreShared && hasIgnoreSharedProperty(qmp, wait),
    mappedRam || hasFileTransport(qmp, wait),
    backendProperties(qmp, wait),
  ]);
  return {
    mappedRam,
    multifd: capabilities.has('multifd'),
    xIgnoreShared,
    directIo: parameters.has('direct-io'),
    zeroPageDetection: parameters.has('zero-page-detection'),
    fdsets,
    mappedRamIgnoresShared: hasProperty,
    fileTransport,
    mapsParts: backend.has('offset') && backend.has('rom'),
    // The release that limited x-ignore-shared brought this property, too.
    ignoresNamedOnly: backend.has('offset'),
  };
}

/**
 * True when QEMU has a capability and lets it be set. QEMU refuses unstable ones under a policy that it does not tell.
 * It refuses unstable commands then, too. Only the attempt to set the capability to what it is shows the rest.
 */
async function isSettable(
  qmp: QmpClient,
  capability: string,
  capabilities: Settings['capabilities'],
  wait: WaitOptions,
): Promise<boolean> {
  const state = capabilities.get(capability);
  if (state === undefined) return false;
  if ((await answerOf(qmp.execute('x-query-ramblock', undefined, wait))) !== undefined) return true;
  const unchanged = { capabilities: [{ capability, state }] };
  return (await answerOf(qmp.execute('migrate-set-capabilities', unchanged, wait))) !== undefined;
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

/**
 * True when QEMU knows files as a transport. Only the schema tells. It is asked for where a cheaper sign is missing:
 * mapped-ram came later than the transport, and needs it.
 */
async function hasFileTransport(qmp: QmpClient, wait: WaitOptions): Promise<boolean> {
  const schema = await answerOf(qmp.execute('query-qmp-schema', undefined, wait));
  const addresses = objectsIn(schema).filter(({ tag }) => tag === 'transport');
  return addresses.some(({ variants }) => objectsIn(variants).some((variant) => variant['case'] === 'file'));
}

/** Names of the properties of memory backends in files; empty when QEMU does not tell. */
async function backendProperties(qmp: QmpClient, wait: WaitOptions): Promise<ReadonlySet<string>> {
  const typename = 'memory-backend-file';
  const properties = await answerOf(qmp.execute('qom-list-properties', { typename }, wait));
  return new Set(objectsIn(properties).flatMap(({ name }) => (typeof name === 'string' ? [name] : [])));
}

function objectsIn(value: QmpValue | undefined): readonly QmpObject[] {
  return Array.isArray(value) ? value.filter((entry) => isQmpObject(entry)) : [];
}
