import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ioError, sync } from '../../io/fd-io.ts';
import type { PlanSettings } from '../../negotiate/apply-plan.ts';
import { migrateOut } from '../../qemu/migration.ts';
import type { QemuProcess } from '../../qemu/process/qemu-process.ts';
import type { BenchFiles, Contender } from '../contender.ts';
import { copyThroughCache } from '../file-state.ts';
import { zerosAreWritten } from '../patterns.ts';
import {
  QEMU_CHANNELS,
  qemuIdentity,
  type QemuWay,
  setUpMigration,
  startBenchQemu,
  type UsableQemu,
} from './bench-qemu.ts';
import { foreignContender, type ForeignWork } from './foreign-contender.ts';

/**
 * A stopped guest with the bench's memory. It has a copy: to be saved again, a guest has to run for a moment, and its
 * firmware then writes into its memory. All contenders of a kind share it; the last one that goes takes it along.
 */
export class SavedGuest {
  readonly #files: BenchFiles;
  readonly #found: UsableQemu;
  readonly #memory: string;
  #users = 0;
  #qemu: Promise<QemuProcess> | undefined;

  constructor(files: BenchFiles, found: UsableQemu) {
    this.#files = files;
    this.#found = found;
    this.#memory = join(files.memoryDirectory, 'qemu-saves.ram');
  }

  /** Counts one more user, who calls `leave` in the end. */
  enter(): void {
    this.#users += 1;
  }

  async leave(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    await (await this.#qemu?.catch(() => undefined))?.close();
    this.#qemu = undefined;
    await rm(this.#memory, { force: true });
  }

  /** Returns the QEMU with a guest that can be saved, and starts one where there is none yet. */
  async ready(signal: AbortSignal): Promise<QemuProcess> {
    const { qmp } = await this.#running(signal);
    const { status } = await qmp.execute('query-status', undefined, { signal });
    if (status === 'postmigrate') {
      await qmp.execute('cont', undefined, { signal });
      await qmp.execute('stop', undefined, { signal });
    }
    return this.#running(signal);
  }

  #running(signal: AbortSignal): Promise<QemuProcess> {
    const started = this.#qemu ?? this.#start(signal);
    this.#qemu = started;
    started.catch(() => {
      // The next one tries again.
      this.#qemu = undefined;
    });
    return started;
  }

  async #start(signal: AbortSignal): Promise<QemuProcess> {
    const { memory, block, size, pattern } = this.#files;
    await rm(this.#memory, { force: true });
    await copyThroughCache(memory, this.#memory, signal, zerosAreWritten(pattern));
    return startBenchQemu({ ...this.#found, block, size, memory: this.#memory, signal }, false);
  }
}

/** QEMU saves the guest by itself; the time has the command, and the fsync of the file, which QEMU leaves out. */
export function qemuSaves(files: BenchFiles, found: UsableQemu): readonly Contender[] {
  const guest = new SavedGuest(files, found);
  const isDirect = found.whyNotDirect === undefined;
  return QEMU_CHANNELS.map((channels) => {
    guest.enter();
    const work = new QemuSave(files, guest, { channels, isDirect });
    return foreignContender(qemuIdentity(found, channels), files.size, work);
  });
}

class QemuSave implements ForeignWork {
  readonly #guest: SavedGuest;
  readonly #way: QemuWay;
  readonly #target: string;
  readonly #dataBytes: number;
  #settings: PlanSettings | undefined;
  #isOver = false;

  constructor({ directory, dataBytes }: BenchFiles, guest: SavedGuest, way: QemuWay) {
    this.#guest = guest;
    this.#way = way;
    this.#target = join(directory, `qemu-${way.channels}`);
    this.#dataBytes = dataBytes;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    await this.clear();
    const { qmp } = await this.#guest.ready(signal);
    this.#settings = await setUpMigration(qmp, 'save', this.#target, this.#way, signal);
  }

  files(): readonly string[] {
    return [this.#target];
  }

  async run(
    watch: Parameters<ForeignWork['run']>[0],
    signal: AbortSignal,
  ): Promise<{ readonly milliseconds: number; readonly dataBytes: number }> {
    const { pid, qmp } = await this.#guest.ready(signal);
    const milliseconds = await watch(pid, async () => {
      const startedAt = performance.now();
      await migrateOut(qmp, { transport: 'file', filename: this.#target, offset: 0 }, { signal });
      await syncFile(this.#target);
      return performance.now() - startedAt;
    });
    return { milliseconds, dataBytes: this.#dataBytes };
  }

  async clear(): Promise<void> {
    await this.#settings?.putBack();
    this.#settings = undefined;
    await rm(this.#target, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      await this.clear();
    } finally {
      await this.#guest.leave();
    }
  }
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r').catch((cause: unknown) => {
    throw ioError('cannot open what QEMU has written', path, cause);
  });
  await sync(file.fd, path);
}
