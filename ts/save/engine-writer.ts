import { createStateFile } from '../engine/state-file.ts';
import { atOnce } from '../host/at-once.ts';
import { type Deferred, deferred } from '../host/deferred.ts';
import { disposeAfter, disposeAll } from '../host/dispose-all.ts';
import type { AnonymousFile } from '../io/anonymous-file.ts';
import { writeAt } from '../io/fd-io.ts';
import { FileReader } from '../io/file-reader.ts';
import { localFile } from '../io/open-source.ts';
import { bytesToWrite } from '../negotiate/engine-blocks.ts';
import { type MovedMemory, moveMemory } from '../pack/moved-memory.ts';
import { completePlainRam } from '../pack/plain-ram.ts';
import { Packing } from '../pack/packing.ts';
import type { PackOptions } from '../pack/pack-options.ts';
import type { GivenFile } from '../qemu/given-file.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import { queryRamBlocks, type RamBlockRow } from '../qemu/memory/query-ram-blocks.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { readStreamHead } from '../stream/read/read-stream-head.ts';
import type { StreamHead } from '../stream/stream-index.ts';
import { checkSaved } from './check-saved.ts';
import { ConfirmedMemory } from './confirmed-memory.ts';
import { engineTransfer } from './engine-transfer.ts';
import { migrateGuest } from './migrate-guest.ts';
import { fileFor } from './qemu-writer.ts';
import { recordRunState } from './run-state/record-run-state.ts';
import type { FileSaveRun, ReadyWriter, Written } from './save-run.ts';
import type { LiveGuest } from './live/live-guest.ts';
import type { StoppedGuest } from './stopped-guest.ts';

/**
 * Saves by the engine. QEMU writes its device state, which takes milliseconds. The engine's channels write the memory,
 * out of the files that QEMU shares.
 */
export class EngineWriter implements ReadyWriter {
  readonly #run: FileSaveRun;
  readonly #memory: ConfirmedMemory;
  readonly #state: AnonymousFile;
  readonly #given: GivenFile;

  private constructor(run: FileSaveRun, memory: ConfirmedMemory, state: AnonymousFile, given: GivenFile) {
    this.#run = run;
    this.#memory = memory;
    this.#state = state;
    this.#given = given;
  }

  /**
   * Opens the memory, makes the file for the device state, and gives it to QEMU.
   * @throws {MappedRamError} as `ConfirmedMemory.open`, `createStateFile` and `giveFile`
   */
  static async ready(run: FileSaveRun): Promise<EngineWriter> {
    const { qmp, plan, options, inMemory } = run;
    const rows = await queryRamBlocks(qmp, { signal: options.signal });
    const memory = await ConfirmedMemory.open(qmp, plan.engineBlocks, rows ?? []);
    let state: AnonymousFile | undefined;
    try {
      const others = plan.qemu.memory.filter(({ id }) => !plan.engineBlocks.some((block) => block.id === id));
      state = await createStateFile(
        others.map((block) => ({ length: bytesToWrite(block) })),
        inMemory,
      );
      const given = await fileFor(run, { path: state.procPath, offset: 0, direct: false });
      return new EngineWriter(run, memory, state, given);
    } catch (error) {
      throw await disposeAfter(error, [memory, state]);
    }
  }

  /**
   * @throws {MappedRamError} as `migrateGuest`, `pack` and `checkSaved`; ERR_MAPPED_RAM_QEMU when somebody let the guest
   *   run meanwhile, or QEMU does not use a memory file any more
   */
  async write(guest: StoppedGuest | LiveGuest, whenRead: () => Promise<void>): Promise<Written> {
    const { plan, output, sealing, options, progress, before } = this.#run;
    const { signal } = options;
    progress.step('state');
    const packOptions: PackOptions = {
      ...engineTransfer(plan, options),
      state: this.#state.procPath,
      ram: this.#memory.locations,
      seal: options.seal,
      sealPath: options.sealPath,
      onProgress: (moved) => progress.fromEngine(moved),
    };
    const head = deferred<StreamHead>();
    const [{ migration, rows }, moved] = await atOnce(
      signal,
      (either) => this.#migrateWith(head, either),
      (either) => this.#move(head.promise, { ...packOptions, signal: either }),
    );
    await guest.assertStoodStill({ signal });
    await whenRead();
    // The guest does not wait for anything from here on.
    await this.#given[Symbol.asyncDispose]();
    const { fd } = this.#state;
    const intoState = {
      writeAt: (bytes: Uint8Array, offset: number) => writeAt(fd, 'the device state', bytes, offset),
    };
    const unrecorded = await recordRunState({ fd }, intoState, before);
    const { path, offset } = plan.target;
    await using packing = await Packing.open(packOptions, path === undefined ? undefined : { path, offset });
    const { transfer } = await packing.write(output, packOptions, { sealing, moved });
    progress.step('publish');
    const { dataBytes } = transfer;
    const written = { fd: localFile(output, 'a save').fd, offset: output.offset };
    const saved = await checkSaved(written, { plan, dataBytes, rows, stoodStill: true });
    signal?.throwIfAborted();
    return { ...saved, warnings: [...saved.warnings, ...unrecorded], migration, transfer };
  }

  /** As `#migrate`. When that fails, `head` rejects, too. */
  async #migrateWith(head: Deferred<StreamHead>, signal: AbortSignal): Promise<Migrated> {
    try {
      return await this.#migrate(head, signal);
    } catch (error) {
      head.reject(error);
      throw error;
    }
  }

  /**
   * Lets QEMU write its device state, and settles `head` as soon as the beginning of the state tells where the memory
   * goes. Then it makes sure that QEMU uses what the engine reads.
   */
  async #migrate(head: Deferred<StreamHead>, signal: AbortSignal): Promise<Migrated> {
    const { qmp, options } = this.#run;
    let isKnown = false;
    let looking = Promise.resolve();
    const look = async ({ ram }: MigrationInfo): Promise<void> => {
      // The state of a machine that has only one page size names it at its end.
      const targetPageSize = ram?.pageSize ?? 0;
      if (targetPageSize === 0 || isKnown) return;
      const reader = await FileReader.over(this.#state.fd);
      const found = await readStreamHead(reader, { targetPageSize });
      if (found === undefined) return;
      isKnown = true;
      head.resolve(found);
    };
    let migration: MigrationInfo;
    try {
      migration = await migrateGuest(qmp, this.#given.address, {
        timeoutMs: options.timeoutMs,
        signal,
        place: `${this.#state.place}, the device state`,
        onStatus: (info) => {
          looking = looking.then(() => look(info)).catch(head.reject);
        },
      });
    } finally {
      await looking;
    }
    if (!isKnown) {
      await using snapshot = await Snapshot.open({ fd: this.#state.fd }, signal);
      completePlainRam(snapshot.index, snapshot.path);
      head.resolve(snapshot.index);
    }
    const rows = await queryRamBlocks(qmp, { signal });
    await this.#memory.confirm(qmp, rows ?? []);
    return { migration, rows };
  }

  async #move(head: Promise<StreamHead>, options: PackOptions): Promise<MovedMemory> {
    const { output, sealing, progress } = this.#run;
    const state = { ...(await head), name: this.#state.procPath };
    progress.step('memory');
    return moveMemory(output, state, options, sealing.pieceSize);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await disposeAll([this.#memory, this.#state, this.#given]);
  }
}

interface Migrated {
  readonly migration: MigrationInfo;
  /** QEMU's blocks while the guest stood still. */
  readonly rows: readonly RamBlockRow[] | undefined;
}
