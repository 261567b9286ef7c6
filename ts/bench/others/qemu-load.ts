import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { migrateIn, migrateOut } from '../../qemu/migration.ts';
import type { QemuProcess } from '../../qemu/process/qemu-process.ts';
import type { BenchFiles, Contender } from '../contender.ts';
import type { FileState } from '../figures.ts';
import { putInState } from '../file-state.ts';
import {
  QEMU_CHANNELS,
  qemuIdentity,
  type QemuWay,
  setUpMigration,
  startBenchQemu,
  type UsableQemu,
} from './bench-qemu.ts';
import { foreignContender, type ForeignWork } from './foreign-contender.ts';
import { SavedGuest } from './qemu-save.ts';

/**
 * QEMU loads a snapshot of its own into memory in a file; the time is that of the command. A QEMU loads once, so every
 * round has a new one, whose start does not count.
 */
export function qemuLoads(files: BenchFiles, state: FileState, found: UsableQemu): readonly Contender[] {
  return QEMU_CHANNELS.map((channels) => {
    const work = new QemuLoad(files, state, found, channels);
    return foreignContender(qemuIdentity(found, channels), files.size, work);
  });
}

class QemuLoad implements ForeignWork {
  readonly #files: BenchFiles;
  readonly #state: FileState;
  readonly #found: UsableQemu;
  readonly #way: QemuWay;
  readonly #memory: string;
  readonly #copy: string;
  #source = '';
  #qemu: QemuProcess | undefined;

  constructor(files: BenchFiles, state: FileState, found: UsableQemu, channels: number) {
    this.#files = files;
    this.#state = state;
    this.#found = found;
    this.#way = { channels, isDirect: found.whyNotDirect === undefined };
    this.#memory = join(files.memoryDirectory, 'qemu-loads.ram');
    this.#copy = join(files.directory, 'qemu.dirty');
  }

  async prepare(signal: AbortSignal): Promise<void> {
    await this.clear();
    const saved = await ownSnapshot(this.#files, this.#found, signal);
    const { block, size } = this.#files;
    const machine = { ...this.#found, block, size, memory: this.#memory, signal };
    const qemu = await startBenchQemu(machine, true);
    this.#qemu = qemu;
    // The look into the snapshot before the load brings a little of it into the page cache.
    await setUpMigration(qemu.qmp, 'restore', saved, this.#way, signal);
    this.#source = await putInState(saved, this.#state, this.#copy, signal);
  }

  files(): readonly string[] {
    return [this.#source];
  }

  async run(
    watch: Parameters<ForeignWork['run']>[0],
    signal: AbortSignal,
  ): Promise<{ readonly milliseconds: number; readonly dataBytes: number }> {
    const qemu = this.#qemu;
    if (qemu === undefined) throw new TypeError('run before prepare');
    const milliseconds = await watch(qemu.pid, async () => {
      const startedAt = performance.now();
      await migrateIn(qemu.qmp, { transport: 'file', filename: this.#source, offset: 0 }, { signal });
      return performance.now() - startedAt;
    });
    return { milliseconds, dataBytes: this.#files.dataBytes };
  }

  async clear(): Promise<void> {
    await this.#qemu?.close();
    this.#qemu = undefined;
    await rm(this.#memory, { force: true });
    await rm(this.#copy, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.clear();
  }
}

/**
 * The snapshot that QEMU writes of the memory, from a guest that has never run. QEMU cannot load the bench's own one,
 * which has no machine's devices. It stays beside that one until the folder goes.
 */
async function ownSnapshot(files: BenchFiles, found: UsableQemu, signal: AbortSignal): Promise<string> {
  const path = join(files.directory, 'qemu.mr');
  if (existsSync(path)) return path;
  const half = `${path}.incomplete`;
  const guest = new SavedGuest(files, found);
  guest.enter();
  try {
    const { qmp } = await guest.ready(signal);
    const way = { channels: Math.max(...QEMU_CHANNELS), isDirect: found.whyNotDirect === undefined };
    await setUpMigration(qmp, 'save', half, way, signal);
    await migrateOut(qmp, { transport: 'file', filename: half, offset: 0 }, { signal });
    await rename(half, path);
    return path;
  } catch (error) {
    await rm(half, { force: true });
    throw error;
  } finally {
    await guest.leave();
  }
}
