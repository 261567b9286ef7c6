import { procPath } from '../io/anonymous-file.ts';
import { localFile } from '../io/open-source.ts';
import { type FileForQemu, type GivenFile, giveFile } from '../qemu/given-file.ts';
import { queryRamBlocks, type RamBlockRow } from '../qemu/memory/query-ram-blocks.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import { atOnce } from '../host/at-once.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { checkSaved } from './check-saved.ts';
import { isLive } from './run-state/assert-run-state.ts';
import { LiveGuest } from './live/live-guest.ts';
import { migrateGuest } from './migrate-guest.ts';
import { endedAs, notRecorded, recordRunState } from './run-state/record-run-state.ts';
import type { FileSaveRun, ReadyWriter, SaveRun, Written } from './save-run.ts';
import type { StoppedGuest } from './stopped-guest.ts';

/**
 * Saves by QEMU, which writes everything into a file of ours: through descriptors that are opened here, or by its name.
 */
export class QemuWriter implements ReadyWriter {
  readonly #run: FileSaveRun;
  readonly #file: GivenFile;

  private constructor(run: FileSaveRun, file: GivenFile) {
    this.#run = run;
    this.#file = file;
  }

  /** Gives QEMU the file. @throws {MappedRamError} as `giveFile` */
  static async ready(run: FileSaveRun): Promise<QemuWriter> {
    const { output, plan } = run;
    const { path, fd } = localFile(output, 'a save');
    const { offset } = output;
    // Whatever opens a descriptor's path opens the file anew.
    const place = { path: path ?? procPath(fd), offset, direct: plan.directIo.value };
    return new QemuWriter(run, await fileFor(run, place));
  }

  /** @throws {MappedRamError} as `migrateGuest`, `checkSaved` and `LiveGuest.assertStoodStill` */
  async write(guest: StoppedGuest | LiveGuest, whenRead: () => Promise<void>): Promise<Written> {
    const { plan, output, progress, options, before } = this.#run;
    const { signal } = options;
    const { fd } = localFile(output, 'a save');
    const { offset } = output;
    progress.step('memory');
    const [rows, migration] = await this.#migrate(guest);
    const { stoodStill } = guest;
    const live = guest instanceof LiveGuest ? guest.report : undefined;
    const end = guest instanceof LiveGuest && guest.mayHaveEnded ? await endedAs({ fd, offset }) : undefined;
    const isOwners = guest instanceof LiveGuest && guest.isOwners;
    if (end === undefined) await whenRead();
    progress.step('publish');
    await this[Symbol.asyncDispose]();
    const unrecorded = await recordRunState({ fd, offset }, output, isOwners ? 'paused' : before);
    const { normalPages = 0, pageSize = 0 } = migration.ram ?? {};
    const dataBytes = normalPages * pageSize;
    const saved = await checkSaved({ fd, offset }, { plan, dataBytes, rows, stoodStill });
    signal?.throwIfAborted();
    const warnings = [...saved.warnings, ...unrecorded];
    return { ...saved, warnings, migration, transfer: undefined, live, endedAs: end };
  }

  /** Lets QEMU write, and asks it for its blocks while the guest stands still. */
  async #migrate(
    guest: StoppedGuest | LiveGuest,
  ): Promise<readonly [readonly RamBlockRow[] | undefined, MigrationInfo]> {
    const run = this.#run;
    const { signal } = run.options;
    const { address } = this.#file;
    const rows = (wait: WaitOptions): Promise<readonly RamBlockRow[] | undefined> =>
      queryRamBlocks(run.qmp, wait);
    if (guest instanceof LiveGuest) {
      const migration = await migrateTo(run, guest, address, signal);
      return [await rows({ signal }), migration];
    }
    return atOnce(
      signal,
      (either) => rows({ signal: either }),
      (either) => migrateTo(run, guest, address, either),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}

/** Lets QEMU write to a place that only QEMU can see. */
export function writerElsewhere(run: SaveRun): ReadyWriter {
  const { plan, before, progress, options } = run;
  return {
    async write(guest, whenRead) {
      progress.step('memory');
      const migration = await migrateTo(run, guest, plan.target.address, options.signal);
      const live = guest instanceof LiveGuest ? guest.report : undefined;
      await whenRead();
      const blocks = plan.qemu.memory.map(({ id, length }) => ({ id, length }));
      // Nobody here can look into what QEMU has sent, or change it. A guest that QEMU itself stops is recorded as it was.
      const isRecorded = live?.converged === true || !isLive(before);
      const warnings = isRecorded ? [] : [notRecorded(before)];
      return { migration, transfer: undefined, size: undefined, blocks, warnings, live };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/**
 * Gives QEMU a file to write to. Dispose of it when the migration is over; a second time does nothing.
 * @throws {MappedRamError} as `giveFile`
 */
export async function fileFor(
  { qmp, plan, tag, options: { signal, timeoutMs } }: SaveRun,
  place: Pick<FileForQemu, 'path' | 'offset' | 'direct'>,
): Promise<GivenFile> {
  const file = { ...place, access: 'write', tag, signal, timeoutMs } as const;
  const given = await giveFile(qmp, plan.qemu.features, plan.fdset.value, file);
  let back: Promise<void> | undefined;
  return {
    address: given.address,
    [Symbol.asyncDispose]: async () => {
      back ??= Promise.resolve(given[Symbol.asyncDispose]());
      await back;
    },
  };
}

async function migrateTo(
  { qmp, plan, options, progress }: SaveRun,
  guest: StoppedGuest | LiveGuest,
  address: MigrationAddress,
  signal: AbortSignal | undefined,
): Promise<MigrationInfo> {
  const live = guest instanceof LiveGuest ? guest : undefined;
  const migration = await migrateGuest(qmp, address, {
    timeoutMs: options.timeoutMs,
    signal: live === undefined ? signal : live.within(signal),
    place: plan.target.path,
    onStatus: (info) => {
      live?.see(info);
      progress.fromQemu(info, live?.progress);
    },
  });
  await live?.assertStoodStill();
  return migration;
}
