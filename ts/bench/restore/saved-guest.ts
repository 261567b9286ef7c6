import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { MappedRamError } from '../../errors.ts';
import { GUEST_PAGE_SIZE } from '../../guest/guest-region.ts';
import { writeGuestDisk } from '../../guest/write-guest-disk.ts';
import { QemuProcess } from '../../qemu/process/qemu-process.ts';
import { save } from '../../save/save.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';
import type { BenchFiles } from '../contender.ts';
import { copyThroughCache } from '../file-state.ts';
import { zerosAreWritten } from '../patterns.ts';
import { untilWalkedTo, walkPlace, type WalkPlace } from './working-set.ts';

const MIB = 2 ** 20;
const REGION_START = 16 * MIB;
/**
 * Under TCG the guest checks and rewrites 0.4 GB in a second, with its memory in place, where a disk reads 1.5: a larger
 * region would measure TCG, and no restore.
 */
const LARGEST_REGION = 256 * MIB;
/** The smallest guest that can be restored: firmware and region need room. */
export const SMALLEST_GUEST: number = 64 * MIB;
const BARE = '-nodefaults -no-user-config -no-reboot -vga none -display none'.split(' ');

/** A real guest that was saved while it walked its region, in the bench's memory. */
export interface SavedWalker {
  readonly snapshot: string;
  /** The command line of the fresh guest. */
  readonly args: readonly string[];
  /** Bytes of the region that the guest walks: a quarter of its memory, 256 MiB at most. */
  readonly workingSet: number;
  /** Bytes of pages in the snapshot. */
  readonly dataBytes: number;
  /** The place to which a restored guest has to come to have touched all of its region. */
  readonly goal: WalkPlace;
}

/**
 * Boots the built-in guest on a copy of the bench's memory, and saves it after a first walk.
 * @throws {MappedRamError} as `QemuProcess.start` and `save`; the signal's reason. Nothing is left then
 */
export async function saveWalker(
  files: BenchFiles,
  binary: string,
  signal: AbortSignal,
): Promise<SavedWalker> {
  const { size, block, memory, pattern } = files;
  const [snapshot, disk] = [join(files.directory, 'walker.mr'), join(files.directory, 'walker.img')];
  const ram = join(files.memoryDirectory, 'walker.ram');
  const region = { start: REGION_START, length: regionLength(size) };
  const args = guestArgs(size, disk);
  try {
    if (!existsSync(disk)) await writeGuestDisk(disk, region);
    await copyThroughCache(memory, ram, signal, zerosAreWritten(pattern));
    const backend = `memory-backend-file,id=${block},size=${size / MIB}M,share=on,mem-path=${optionValue(ram)}`;
    const further = ['-object', backend, '-machine', `memory-backend=${block}`];
    await using qemu = await QemuProcess.start({ binary, args: [...args, ...further], signal });
    await untilWalkedTo(qemu.qmp, { generation: 2, page: 0 }, signal);
    await qemu.qmp.execute('stop', undefined, { signal });
    const saved = await walkPlace(qemu.qmp, signal);
    if (saved === undefined) throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'the guest is gone');
    // QEMU goes when this process goes, so that there is nothing to guard.
    await save(qemu.qmp, snapshot, { after: 'stop', guard: 'off', overwrite: true, signal });
    return {
      snapshot,
      args,
      workingSet: region.length,
      dataBytes: await dataBytesOf(snapshot, signal),
      goal: { generation: saved.generation + 1, page: saved.page },
    };
  } catch (error) {
    await rm(snapshot, { force: true });
    throw error;
  } finally {
    await rm(ram, { force: true });
  }
}

function regionLength(size: number): number {
  const quarter = Math.min(size / 4, LARGEST_REGION);
  return Math.floor(quarter / GUEST_PAGE_SIZE) * GUEST_PAGE_SIZE;
}

/** The memory's block is QEMU's own, `pc.ram`; TCG comes first as in the demo: it runs this guest well everywhere. */
function guestArgs(size: number, disk: string): readonly string[] {
  return BARE.concat(
    ['-machine', 'q35', '-accel', 'tcg', '-accel', 'kvm', '-m', `${size / MIB}M`],
    ['-drive', `if=ide,format=raw,file=${optionValue(disk)}`],
  );
}

function optionValue(text: string): string {
  return text.replaceAll(',', ',,');
}

async function dataBytesOf(path: string, signal: AbortSignal): Promise<number> {
  await using snapshot = await Snapshot.open(path, signal);
  const { blocks } = await snapshot.info();
  return blocks.reduce((sum, { setPages }) => sum + setPages * GUEST_PAGE_SIZE, 0);
}
