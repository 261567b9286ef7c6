import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../errors.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import { cancelMigration } from './cancel-migration.ts';
import { type AddressArguments, migrateArguments } from './migrate-arguments.ts';
import { queryMigration, type MigrationInfo } from './migration-info.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { QmpEvent, QmpEvents } from '../qmp/events.ts';
import { isUnknownArgument } from '../qmp/refusal.ts';
import { untilFinalized } from './until-finalized.ts';
import { tellListener } from '../host/tell-listener.ts';
import { type WaitOptions, waitWithin } from '../host/wait-within.ts';

/** Events report a change at once. An occasional question costs nothing, and catches a change that an event missed. */
const POLL_MS = 250;
const CANCEL_MS = 10_000;
/** QEMU's words about a failure may arrive on stderr a little later than the news on QMP. */
const STDERR_MS = 50;

export interface MigrationRunOptions extends WaitOptions {
  /** Called with every answer of query-migrate on the way. */
  readonly onStatus?: ((info: MigrationInfo) => void) | undefined;
  /** The place in errors: QEMU knows a file of ours by the number of a set only. @default the target or source */
  readonly place?: string | undefined;
}

/**
 * Lets QEMU save the guest to a migration URI or address, with its present capabilities and parameters. Stop the guest
 * first for a save of bounded length. A timeout or the signal cancels the migration: the guest goes on and the file is
 * incomplete.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU refuses, the save fails or the connection is lost. After a
 *   failed save `migration` is QEMU's report, and the message has QEMU's own words, also those on stderr where they can
 *   be seen. QEMU's end is never taken for success. ERR_MAPPED_RAM_TIMEOUT when the save takes too long;
 *   ERR_MAPPED_RAM_INVALID_URI
 */
export async function migrateOut(
  qmp: QmpClient,
  target: string | MigrationAddress,
  options: MigrationRunOptions = {},
): Promise<MigrationInfo> {
  const address = migrateArguments(target);
  return migrate(qmp, `saving to ${options.place ?? nameOf(target)}`, options, {
    begin: () => qmp.execute('migrate', address),
    settle: () => untilFinalized(qmp),
    cancel: () => cancelMigration(qmp, { timeoutMs: CANCEL_MS }),
  });
}

/**
 * Lets a QEMU started with `-incoming defer` load the guest from a migration URI or address, with its present
 * capabilities and parameters. QEMU cannot try twice: after a failure, a timeout or the signal, the caller can only end
 * it.
 *
 * @throws {MappedRamError} as {@link migrateOut}
 */
export async function migrateIn(
  qmp: QmpClient,
  source: string | MigrationAddress,
  options: MigrationRunOptions = {},
): Promise<MigrationInfo> {
  const address = migrateArguments(source);
  return migrate(qmp, `loading from ${options.place ?? nameOf(source)}`, options, {
    begin: () => beginIncoming(qmp, address),
  });
}

/**
 * Lets a QEMU that waits begin to load a guest.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function beginIncoming(qmp: QmpClient, address: AddressArguments): Promise<void> {
  try {
    await qmp.execute('migrate-incoming', { ...address, 'exit-on-error': false });
  } catch (error) {
    // QEMU before 9.1 has no such argument, and always exits.
    if (!isUnknownArgument(error, 'exit-on-error')) throw error;
    await qmp.execute('migrate-incoming', address);
  }
}

interface Direction {
  readonly begin: () => Promise<unknown>;
  /** Waits for late news when the migration has ended, whichever way. */
  readonly settle?: () => Promise<void>;
  /** Ends a migration that was given up, where that is possible. */
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
  const late = new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `${what}: not done in time`);
  const stderrBefore = qmp.stderr;
  // QEMU may be at work from the moment it is told until it reports the end.
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
      if (info.status !== 'completed') throw await migrationFailure(qmp, what, info, stderrBefore);
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
      // A QEMU that does not even answer will not end either.
      if (cancelled) await waitWithin(end, { timeoutMs: CANCEL_MS }, () => late).catch(() => undefined);
    }
    throw error;
  } finally {
    await events.return();
  }
}

/** Returns the answer of query-migrate that says `completed`, `failed` or `cancelled`. */
async function untilEnd(
  qmp: QmpClient,
  events: QmpEvents,
  what: string,
  onStatus: MigrationRunOptions['onStatus'],
): Promise<MigrationInfo> {
  let change: Promise<IteratorResult<QmpEvent, undefined>> | undefined;
  for (;;) {
    const info = await queryMigration(qmp);
    tellListener(onStatus, () => info);
    if (['completed', 'failed', 'cancelled'].includes(info.status)) return info;
    change ??= events.next();
    change.catch(() => undefined);
    const changed = await Promise.race([change, delay(POLL_MS, undefined, { ref: false })]);
    if (changed?.done === true) throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', `${what}: given up`);
    if (changed !== undefined) change = undefined;
  }
}

/** The error of a migration that has failed: QEMU's report, and its words on stderr since. */
export async function migrationFailure(
  qmp: QmpClient,
  what: string,
  info: MigrationInfo,
  stderrBefore: string,
): Promise<MappedRamError> {
  await delay(STDERR_MS);
  const { stderr } = qmp;
  const words = stderr.startsWith(stderrBefore) ? stderr.slice(stderrBefore.length) : stderr;
  const why = [info.errorDesc ?? info.status, words.trim()].filter((part) => part !== '').join('; ');
  return new MappedRamError('ERR_MAPPED_RAM_QEMU', `${what}: ${why}`, { migration: info });
}

function nameOf(address: string | MigrationAddress): string {
  if (typeof address === 'string') return address;
  return address.transport === 'file' ? address.filename : JSON.stringify(address);
}
