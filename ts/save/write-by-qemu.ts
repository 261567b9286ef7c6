import { localFile } from '../io/open-source.ts';
import { type FileForQemu, giveFile } from '../qemu/given-file.ts';
import { queryRamBlocks } from '../qemu/query-ram-blocks.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import { checkSaved } from './check-saved.ts';
import { isLive } from './run-state/assert-run-state.ts';
import { migrateGuest } from './migrate-guest.ts';
import { notRecorded, recordRunState } from './run-state/record-run-state.ts';
import type { FileSaveRun, SaveRun, Written } from './save-run.ts';

/**
 * Saves by QEMU, which writes everything into a file of ours: through descriptors that are opened here, or by its name.
 * @param whenWritten called when the guest need not stand still for QEMU any more
 * @throws {MappedRamError} as `migrateGuest` and `checkSaved`
 */
export async function writeByQemu(run: FileSaveRun, whenWritten: () => Promise<void>): Promise<Written> {
  const { qmp, plan, output, guest, progress, options } = run;
  const { signal } = options;
  const rows = await queryRamBlocks(qmp, { signal });
  const { path, fd } = localFile(output, 'a save');
  const { offset } = output;
  const place = { path: path ?? output.name, offset, direct: plan.directIo.value } as const;
  progress.step('memory');
  const migration = await withFile(run, place, (address) => migrateTo(run, address));
  const { stoodStill } = guest;
  await whenWritten();
  progress.step('publish');
  const unrecorded = await recordRunState({ fd, offset }, output, run.before);
  const { normalPages = 0, pageSize = 0 } = migration.ram ?? {};
  const dataBytes = normalPages * pageSize;
  const saved = await checkSaved({ fd, offset }, { plan, dataBytes, rows, stoodStill });
  signal?.throwIfAborted();
  return { ...saved, warnings: [...saved.warnings, ...unrecorded], migration, transfer: undefined };
}

/** Lets QEMU write to a place that only QEMU can see. */
export async function writeElsewhere(run: SaveRun, whenWritten: () => Promise<void>): Promise<Written> {
  run.progress.step('memory');
  const migration = await migrateTo(run, run.plan.target.address);
  await whenWritten();
  const blocks = run.plan.qemu.memory.map(({ id, length }) => ({ id, length }));
  // Nobody here can look into what QEMU has sent, or change it.
  const warnings = isLive(run.before) ? [notRecorded(run.before)] : [];
  return { migration, transfer: undefined, size: undefined, blocks, warnings };
}

/** Gives QEMU a file to write to, and takes it away after `use`. @param use gets the file's address for QEMU */
export async function withFile<T>(
  { qmp, plan, tag, options: { signal, timeoutMs } }: SaveRun,
  place: Pick<FileForQemu, 'path' | 'offset' | 'direct'>,
  use: (address: MigrationAddress) => Promise<T>,
): Promise<T> {
  const file = { ...place, access: 'write', tag, signal, timeoutMs } as const;
  await using given = await giveFile(qmp, plan.qemu.features, plan.fdset.value, file);
  return await use(given.address);
}

function migrateTo(
  { qmp, plan, options, progress }: SaveRun,
  address: MigrationAddress,
): Promise<MigrationInfo> {
  const { timeoutMs, signal } = options;
  return migrateGuest(qmp, address, {
    timeoutMs,
    signal,
    place: plan.target.path,
    onStatus: (info) => progress.fromQemu(info),
  });
}
