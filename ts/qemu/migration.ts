import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../errors.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import { cancelMigration } from './cancel-migration.ts';
import { migrateArguments } from './migrate-arguments.ts';
import { queryMigration, type MigrationInfo } from './migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { QmpEvent, QmpEvents } from '../qmp/events.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import { untilFinalized } from './until-finalized.ts';
import { waitWithin, type WaitOptions } from '../host/wait-within.ts';

/** Events tell of a change at once; asking now and then as well costs nothing and misses none. */
const POLL_MS = 250;
const CANCEL_MS = 10_000;
/** What QEMU writes to stderr about a failure may arrive a little later than the news on QMP. */
const STDERR_MS = 50;

export interface MigrationRunOptions extends WaitOptions {
  /** Called with every answer of query-migrate on the way. */
  readonly onStatus?: ((info: MigrationInfo) => void) | undefined;
}

export interface MigrationOptions extends MigrationRunOptions {
  /** The mapped-ram format. @default true */
  readonly mappedRam?: boolean | undefined;
  /** @default false */
  readonly multifd?: boolean | undefined;
  /** Channels of multifd, 1..255. Undefined leaves what QEMU has (2 unless changed). */
  readonly channels?: number | undefined;
  /** O_DIRECT for the pages; QEMU obeys it only with mappedRam and multifd. Undefined leaves what QEMU has. */
  readonly directIo?: boolean | undefined;
  /** @default false */
  readonly xIgnoreShared?: boolean | undefined;
  /** Bytes per second, 0 for no limit (QEMU's own default is 128 MiB/s, for files too). @default 0 */
  readonly maxBandwidth?: number | undefined;
}

/**
 * Sets what the options say, for good, and lets QEMU save the guest: `negotiate`, `applyPlan` and {@link migrateOut}
 * without the planning.
 *
 * @throws {MappedRamError} as {@link migrateOut}
 */
export async function saveTo(
  qmp: QmpClient,
  target: string | MigrationAddress,
  options: MigrationOptions = {},
): Promise<MigrationInfo> {
  migrateArguments(target);
  await configure(qmp, options);
  return migrateOut(qmp, target, options);
}

/**
 * Sets what the options say, for good, and lets a QEMU started with `-incoming defer` load the guest.
 *
 * @throws {MappedRamError} as {@link migrateIn}
 */
export async function loadFrom(
  qmp: QmpClient,
  source: string | MigrationAddress,
  options: MigrationOptions = {},
): Promise<MigrationInfo> {
  migrateArguments(source);
  await configure(qmp, options);
  return migrateIn(qmp, source, options);
}

/**
 * Lets QEMU save the guest to a migration URI or address, with the capabilities and parameters it has. Stop the guest
 * first for a save of bounded length. Given up by timeout or signal, the migration is cancelled; the guest goes on and
 * the file is incomplete.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU refuses, the save fails (with QEMU's own words, also those on
 *   stderr where we can see it) or the connection is lost: QEMU's end is never taken for success;
 *   ERR_MAPPED_RAM_IO when it takes too long; ERR_MAPPED_RAM_INVALID_URI
 */
export async function migrateOut(
  qmp: QmpClient,
  target: string | MigrationAddress,
  options: MigrationRunOptions = {},
): Promise<MigrationInfo> {
  const address = migrateArguments(target);
  return migrate(qmp, `saving to ${nameOf(target)}`, options, {
    begin: () => qmp.execute('migrate', address),
    settle: () => untilFinalized(qmp),
    cancel: () => cancelMigration(qmp, { timeoutMs: CANCEL_MS }),
  });
}

/**
 * Lets a QEMU started with `-incoming defer` load the guest from a migration URI or address, with the capabilities and
 * parameters it has. QEMU cannot try twice: after a failure, as after giving up by timeout or signal, all that is left
 * to do is to end it.
 *
 * @throws {MappedRamError} as {@link migrateOut}
 */
export async function migrateIn(
  qmp: QmpClient,
  source: string | MigrationAddress,
  options: MigrationRunOptions = {},
): Promise<MigrationInfo> {
  const address = migrateArguments(source);
  return migrate(qmp, `loading from ${nameOf(source)}`, options, {
    begin: async () => {
      try {
        await qmp.execute('migrate-incoming', { ...address, 'exit-on-error': false });
      } catch (error) {
        // Before 9.1 there was no such argument, and QEMU always exited.
        if (!isQmpRefusal(error) || !error.cause.desc.includes('exit-on-error')) throw error;
        await qmp.execute('migrate-incoming', address);
      }
    },
  });
}

interface Direction {
  readonly begin: () => Promise<unknown>;
  /** What is still to be waited for when the migration has ended, whichever way. */
  readonly settle?: () => Promise<void>;
  /** What can be done about a migration that is given up. */
  readonly cancel?: () => Promise<unknown>;
}

async function migrate(
  qmp: QmpClient,
  what: string,
  options: MigrationRunOptions,
  { begin, settle, cancel }: Direction,
): Promise<MigrationInfo> {
  options.signal?.throwIfAborted();
  const events = qmp.events('MIGRATION');
  const late = new MappedRamError('ERR_MAPPED_RAM_IO', `${what}: not done in time`);
  const stderrBefore = qmp.stderr;
  // Whether QEMU may be at it: from the moment it is told until it says that it has ended.
  let running = false;
  const run = async (): Promise<MigrationInfo> => {
    running = true;
    await begin().catch((error: unknown) => {
      running = false;
      throw error;
    });
    try {
      const info = await untilEnd(qmp, events, what, options.onStatus);
      running = false;
      if (info.status !== 'completed') throw await failure(qmp, what, info, stderrBefore);
      return info;
    } finally {
      await settle?.();
    }
  };
  const end = run();
  try {
    return await waitWithin(end, options, () => late);
  } catch (error) {
    if (running && cancel !== undefined) {
      const cancelled = await cancel().then(
        () => true,
        () => false,
      );
      // One that does not even answer will not end either.
      if (cancelled) await waitWithin(end, { timeoutMs: CANCEL_MS }, () => late).catch(() => undefined);
    }
    throw error;
  } finally {
    await events.return();
  }
}

async function configure(
  qmp: QmpClient,
  {
    mappedRam = true,
    multifd = false,
    channels,
    directIo,
    xIgnoreShared = false,
    maxBandwidth = 0,
    timeoutMs,
    signal,
  }: MigrationOptions,
): Promise<void> {
  const wait = { timeoutMs, signal };
  const states = { events: true, 'mapped-ram': mappedRam, multifd, 'x-ignore-shared': xIgnoreShared };
  const capabilities = Object.entries(states).map(([capability, state]) => ({ capability, state }));
  await qmp.execute('migrate-set-capabilities', { capabilities }, wait);
  const parameters = { 'max-bandwidth': maxBandwidth, 'multifd-channels': channels, 'direct-io': directIo };
  await qmp.execute('migrate-set-parameters', parameters, wait);
}

/** The answer of query-migrate that says `completed`, `failed` or `cancelled`. */
async function untilEnd(
  qmp: QmpClient,
  events: QmpEvents,
  what: string,
  onStatus: MigrationRunOptions['onStatus'],
): Promise<MigrationInfo> {
  let change: Promise<IteratorResult<QmpEvent, undefined>> | undefined;
  for (;;) {
    const info = await queryMigration(qmp);
    tell(onStatus, info);
    if (['completed', 'failed', 'cancelled'].includes(info.status)) return info;
    change ??= events.next();
    change.catch(() => undefined);
    const changed = await Promise.race([change, delay(POLL_MS, undefined, { ref: false })]);
    if (changed?.done === true) throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', `${what}: given up`);
    if (changed !== undefined) change = undefined;
  }
}

/** What a listener throws must not decide about the migration. */
function tell(onStatus: MigrationRunOptions['onStatus'], info: MigrationInfo): void {
  try {
    onStatus?.(info);
  } catch {
    // It is for show.
  }
}

async function failure(
  qmp: QmpClient,
  what: string,
  info: MigrationInfo,
  stderrBefore: string,
): Promise<MappedRamError> {
  await delay(STDERR_MS);
  const { stderr } = qmp;
  const words = stderr.startsWith(stderrBefore) ? stderr.slice(stderrBefore.length) : stderr;
  const why = [info.errorDesc ?? info.status, words.trim()].filter((part) => part !== '').join('; ');
  return new MappedRamError('ERR_MAPPED_RAM_QEMU', `${what}: ${why}`, { cause: info });
}

function nameOf(address: string | MigrationAddress): string {
  if (typeof address === 'string') return address;
  return address.transport === 'file' ? address.filename : JSON.stringify(address);
}
