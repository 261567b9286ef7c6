import { localFile } from '../io/open-source.ts';
import { FdSet } from '../qemu/fd-set.ts';
import { queryRamBlocks } from '../qemu/query-ram-blocks.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import { checkSaved } from './check-saved.ts';
import { migrateGuest } from './migrate-guest.ts';
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
  const place = { path: path ?? output.name, access: 'write', direct: plan.directIo.value } as const;
  progress.step('memory');
  const migration = await withFdSet(plan.fdset.value, run, place, (filename) =>
    migrateTo(run, { transport: 'file', filename, offset: output.offset }),
  );
  const { stoodStill } = guest;
  await whenWritten();
  progress.step('publish');
  const { offset } = output;
  const { normalPages = 0, pageSize = 0 } = migration.ram ?? {};
  const dataBytes = normalPages * pageSize;
  const saved = await checkSaved({ fd, offset }, { plan, dataBytes, rows, stoodStill });
  signal?.throwIfAborted();
  return { ...saved, migration, transfer: undefined };
}

/** Lets QEMU write to a place that only QEMU can see. */
export async function writeElsewhere(run: SaveRun, whenWritten: () => Promise<void>): Promise<Written> {
  run.progress.step('memory');
  const migration = await migrateTo(run, run.plan.target.address);
  await whenWritten();
  const blocks = run.plan.qemu.memory.map(({ id, length }) => ({ id, length }));
  return { migration, transfer: undefined, size: undefined, blocks, warnings: [] };
}

interface Place {
  readonly path: string;
  readonly access: 'write';
  readonly direct: boolean;
}

/** Opens a file for QEMU, and takes it away after `use`. @param use gets the file's name for QEMU */
export async function withFdSet<T>(
  wanted: boolean,
  { qmp, tag, options: { signal, timeoutMs } }: SaveRun,
  place: Place,
  use: (filename: string) => Promise<T>,
): Promise<T> {
  if (!wanted) return use(place.path);
  await using set = await FdSet.open(qmp, { ...place, tag, signal, timeoutMs });
  return await use(set.filename);
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
