import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../errors.ts';
import { type MigrationInfo, queryMigration } from './migration-info.ts';
import type { QmpClient } from './qmp-client.ts';
import { isQmpObject } from './qmp-json.ts';
import type { QmpEvent, QmpEvents } from './qmp-events.ts';
import { type WaitOptions, waitWithin } from './wait-within.ts';

/** Events tell of a change at once; asking now and then as well costs nothing and misses none. */
const POLL_MS = 250;
const FINALIZE_POLL_MS = 2;
const CANCEL_MS = 10_000;

export interface MigrationOptions extends WaitOptions {
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
  /** Called with every answer of query-migrate on the way. */
  readonly onStatus?: ((info: MigrationInfo) => void) | undefined;
}

/**
 * Lets QEMU save the guest to a migration URI. Stop the guest first for a save of bounded length. Given up by
 * timeout or signal, the migration is cancelled; the guest goes on and the file is incomplete.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when QEMU refuses, the save fails (with QEMU's own words) or takes too
 *   long, or the connection is lost: QEMU's end is never taken for success
 */
export function saveTo(qmp: QmpClient, uri: string, options: MigrationOptions = {}): Promise<MigrationInfo> {
  return migrate(qmp, `saving to ${uri}`, options, {
    begin: () => qmp.execute('migrate', { uri }),
    settle: () => untilFinalized(qmp),
    cancel: () => qmp.execute('migrate_cancel', undefined, { timeoutMs: CANCEL_MS }),
  });
}

/**
 * Lets a QEMU started with `-incoming defer` load the guest from a migration URI. QEMU cannot try twice: after a
 * failure, as after giving up by timeout or signal, all that is left to do is to end it.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO as {@link saveTo}
 */
export function loadFrom(
  qmp: QmpClient,
  uri: string,
  options: MigrationOptions = {},
): Promise<MigrationInfo> {
  const { major, minor } = qmp.version;
  const stays = major > 9 || (major === 9 && minor >= 1) ? { 'exit-on-error': false } : {};
  return migrate(qmp, `loading from ${uri}`, options, {
    begin: () => qmp.execute('migrate-incoming', { uri, ...stays }),
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
  options: MigrationOptions,
  direction: Direction,
): Promise<MigrationInfo> {
  const { cancel } = direction;
  await configure(qmp, options);
  const events = qmp.events();
  const late = new MappedRamError('ERR_MAPPED_RAM_IO', `${what}: not done in time`);
  try {
    const end = run(direction, () => untilEnd(qmp, events, what, options.onStatus));
    try {
      return await waitWithin(end, options, () => late);
    } catch (error) {
      if (cancel !== undefined && (error === late || options.signal?.aborted === true)) {
        await cancel().catch(() => undefined);
        await waitWithin(end, { timeoutMs: CANCEL_MS }, () => late).catch(() => undefined);
      }
      throw error;
    }
  } finally {
    await events.return();
  }
}

async function run(
  { begin, settle }: Direction,
  untilEnded: () => Promise<MigrationInfo>,
): Promise<MigrationInfo> {
  await begin();
  try {
    return await untilEnded();
  } finally {
    await settle?.();
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

async function untilEnd(
  qmp: QmpClient,
  events: QmpEvents,
  what: string,
  onStatus: MigrationOptions['onStatus'],
): Promise<MigrationInfo> {
  let change: Promise<IteratorResult<QmpEvent, undefined>> | undefined;
  for (;;) {
    const info = await queryMigration(qmp);
    onStatus?.(info);
    if (info.status === 'completed') return info;
    if (info.status === 'failed' || info.status === 'cancelled') {
      throw new MappedRamError('ERR_MAPPED_RAM_IO', `${what}: ${info.errorDesc ?? info.status}`, {
        cause: info,
      });
    }
    change ??= events.next();
    change.catch(() => undefined);
    const changed = await Promise.race([change, delay(POLL_MS, undefined, { ref: false })]);
    if (changed?.done === true) throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', `${what}: given up`);
    if (changed !== undefined) change = undefined;
  }
}

/** QEMU calls a save completed a moment before the machine's own state follows; until then it refuses `cont`. */
async function untilFinalized(qmp: QmpClient): Promise<void> {
  for (;;) {
    const reply = await qmp.execute('query-status');
    if (!isQmpObject(reply) || reply['status'] !== 'finish-migrate') return;
    await delay(FINALIZE_POLL_MS);
  }
}
