import { migrateIn, migrateOut, type MigrationRunOptions } from '../../ts/qemu/migration.ts';
import { migrateArguments } from '../../ts/qemu/migrate-arguments.ts';
import type { MigrationInfo } from '../../ts/qemu/migration-info.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { parseMigrationUri, type MigrationAddress } from '../../ts/uri/index.ts';
import { assertReadersAgree } from './both-readers.ts';
import { OpenFile } from './open-reader.ts';

export interface MigrationOptions extends MigrationRunOptions {
  /** True for the mapped-ram format, false for a plain stream. @default true */
  readonly mappedRam?: boolean | undefined;
  /** @default false */
  readonly multifd?: boolean | undefined;
  /** The number of multifd's channels, 1..255. Undefined leaves QEMU's setting (2 unless changed). */
  readonly channels?: number | undefined;
  /** O_DIRECT for the pages; QEMU obeys it only with mappedRam and multifd. Undefined leaves QEMU's setting. */
  readonly directIo?: boolean | undefined;
  /** @default false */
  readonly xIgnoreShared?: boolean | undefined;
  /** Bandwidth in bytes per second, 0 for no limit (QEMU's own default is 128 MiB/s, for files too). @default 0 */
  readonly maxBandwidth?: number | undefined;
}

/**
 * Sets the options for good and lets QEMU save the guest, as a user without this package would: without plan and
 * checks. Both readers of plain streams then have to see the same in the file.
 */
export async function saveTo(
  qmp: QmpClient,
  target: string | MigrationAddress,
  options: MigrationOptions = {},
): Promise<MigrationInfo> {
  migrateArguments(target);
  await configure(qmp, options);
  const info = await migrateOut(qmp, target, options);
  const { transport, ...place } = typeof target === 'string' ? parseMigrationUri(target) : target;
  if (options.mappedRam === false && transport === 'file' && 'filename' in place) {
    await using file = await OpenFile.open(place.filename);
    await assertReadersAgree(file, Number(place.offset));
  }
  return info;
}

/** Sets the options for good and lets a QEMU that was started with `-incoming defer` load the guest. */
export async function loadFrom(
  qmp: QmpClient,
  source: string | MigrationAddress,
  options: MigrationOptions = {},
): Promise<MigrationInfo> {
  migrateArguments(source);
  await configure(qmp, options);
  return migrateIn(qmp, source, options);
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
