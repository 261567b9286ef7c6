import { migrateIn, migrateOut, type MigrationRunOptions } from '../../ts/qemu/migration.ts';
import { migrateArguments } from '../../ts/qemu/migrate-arguments.ts';
import type { MigrationInfo } from '../../ts/qemu/migration-info.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import type { MigrationAddress } from '../../ts/uri/index.ts';

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
 * Sets what the options say, for good, and lets QEMU save the guest, as somebody would who knows nothing of this package:
 * no plan, no checks.
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

/** Sets what the options say, for good, and lets a QEMU started with `-incoming defer` load the guest. */
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
