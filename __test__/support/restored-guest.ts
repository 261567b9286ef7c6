import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import type { MemoryKind } from '../../ts/restore/command-line/memory-kind.ts';
import type { RestoreMode } from '../../ts/restore/modes/modes.ts';
import { restore, type RestoredGuest, type RestoreOptions } from '../../ts/restore/restore.ts';
import { saveTo } from './plain-migration.ts';
import type { SnapshotSource } from '../../ts/snapshot/snapshot-source.ts';
import type { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { letCpusYield, startGuest, TestGuest, type GuestSetup } from './qemu.ts';
import { QEMU_BINARY } from './qemu-binary.ts';
import { guestArgs, guestMemoryBlocks, guestRegionOf } from './qemu-setup.ts';

/** A guest that `restore` started, with the methods of a test guest. */
export class RestoredTestGuest extends TestGuest {
  readonly restored: RestoredGuest;

  constructor(restored: RestoredGuest, directory: string, setup: GuestSetup, blocks: readonly string[]) {
    super(restored.qemu, directory, guestRegionOf(setup), blocks);
    this.restored = restored;
  }

  override async close(): Promise<void> {
    // A memory that is still on its way has files open for a moment after its QEMU has ended.
    await this.restored[Symbol.asyncDispose]();
    await super.close();
  }
}

/**
 * Restores the built-in guest into the QEMU that `setup` describes.
 * @param setup `memoryBlocks` names the snapshot's blocks where they differ from those of the command line
 * @param wrapper the words before QEMU's own: a program that starts QEMU, perhaps as another user
 */
export async function restoreGuest(
  source: SnapshotSource | Snapshot,
  setup: GuestSetup,
  options: Omit<RestoreOptions, 'binary' | 'args'>,
  wrapper: readonly string[] = [],
): Promise<RestoredTestGuest> {
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-restored-'));
  try {
    await writeGuestDisk(join(directory, 'boot.img'), guestRegionOf(setup));
    if (wrapper.length > 0) {
      await chmod(directory, 0o777);
      await chmod(join(directory, 'boot.img'), 0o666);
    }
    const [binary = '', ...args] = [...wrapper, setup.binary ?? QEMU_BINARY, ...guestArgs(setup, directory)];
    const memory = 'memory' in options ? options.memory : memoryFor(options.mode, args);
    const restored = await restore(source, { ...options, memory, binary, args });
    // Who does not ask for a memory that follows its guest reads it at once.
    if (options.postcopy === undefined) await restored.memoryComplete;
    await letCpusYield(restored.qemu);
    return new RestoredTestGuest(restored, directory, setup, guestMemoryBlocks(setup));
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Files on a disk are no memory for a guest whose pages come after it. */
export function memoryFor(mode: RestoreMode | undefined, args: readonly string[]): MemoryKind | undefined {
  return mode === 'lazy' && args.join(' ').includes('mem-path=') ? 'memfd' : undefined;
}

/** Boots a guest, lets it work for a while, stops it, and lets QEMU save it. */
export async function saveGuest(setup: GuestSetup, path: string): Promise<void> {
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${path}`, { multifd: true, channels: 2 });
}
