import { mkdir, rm } from 'node:fs/promises';
import { readdirSync, readFileSync } from 'node:fs';

import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { createPool } from '../../ts/pool/create-pool.ts';
import type { GuestPool } from '../../ts/pool/guest-pool.ts';
import type { PoolOptions } from '../../ts/pool/pool-options.ts';
import type { PooledGuest } from '../../ts/pool/pooled-qemu.ts';
import { TestGuest, type GuestSetup } from './qemu.ts';
import { QEMU_BINARY } from './qemu-binary.ts';
import { guestArgs, guestMemoryBlocks, guestRegionOf } from './qemu-setup.ts';
import type { TemporaryDirectory } from './temporary.ts';

/** The built-in guest as pools of a test start it: each number has a folder with a disk and a serial port of its own. */
export class PoolGuests {
  readonly #dir: Pick<TemporaryDirectory, 'file'>;
  readonly #setup: GuestSetup;
  /** The numbers for which command lines were made, in order. */
  readonly asked: number[] = [];

  constructor(dir: Pick<TemporaryDirectory, 'file'>, setup: GuestSetup = {}) {
    this.#dir = dir;
    this.#setup = setup;
  }

  readonly args = async (index: number): Promise<readonly string[]> => {
    this.asked.push(index);
    const folder = this.#dir.file(String(index));
    await mkdir(folder, { recursive: true });
    await rm(`${folder}/boot.img`, { force: true });
    await writeGuestDisk(`${folder}/boot.img`, guestRegionOf(this.#setup));
    return guestArgs(this.#setup, folder);
  };

  pool(snapshot: string, options: Partial<PoolOptions> & Pick<PoolOptions, 'size'>): Promise<GuestPool> {
    return createPool(snapshot, { binary: QEMU_BINARY, args: this.args, ...options });
  }

  /** A guest out of a pool, with the methods of a test guest; the folder stays when it is closed. */
  testGuest({ qemu, index }: PooledGuest): TestGuest {
    const folder = this.#dir.file(String(index));
    return new TestGuest(qemu, folder, guestRegionOf(this.#setup), guestMemoryBlocks(this.#setup));
  }
}

/** Waits until a pool is as a test wants it. */
export async function untilHealth(
  pool: GuestPool,
  isWanted: (health: GuestPool['health']) => boolean,
  limitMs = 60_000,
): Promise<void> {
  if (isWanted(pool.health)) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      pool.off('health', look);
      reject(new Error(`the pool does not get there: ${JSON.stringify(pool.health)}`));
    }, limitMs);
    const look = (): void => {
      if (!isWanted(pool.health)) return;
      clearTimeout(timer);
      pool.off('health', look);
      resolve();
    };
    pool.on('health', look);
  });
}

/** The ids of this process's children, those included that it has not reaped. */
export function childProcesses(): readonly number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const [, parent] = /\) \S (\d+) /.exec(readFileSync(`/proc/${name}/stat`, 'latin1')) ?? [];
      return parent === String(process.pid) ? [Number(name)] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

/** Those children that are no watch over the others. */
export function childQemus(): readonly number[] {
  return childProcesses().filter(
    (pid) => !readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('/bin/sh\0-c'),
  );
}
