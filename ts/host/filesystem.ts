import { stat, statfs } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';

/** Magic numbers, from linux/magic.h, of the filesystems that people keep snapshots on, or should not. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
  [0xca451a4e, 'bcachefs'],
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x958458f6, 'hugetlbfs'],
  [0x794c7630, 'overlayfs'],
  [0x6969, 'nfs'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x65735546, 'fuse'],
  [0x01021997, '9p'],
  [0x4d44, 'vfat'],
  [0x2011bab0, 'exfat'],
  [0x482b, 'hfsplus'],
]);

export interface Filesystem {
  /** `ext4` (also for ext2 and ext3), `xfs`, `tmpfs`, …; undefined for a filesystem that is not known by name. */
  readonly type: string | undefined;
  readonly sizeBytes: number;
  /** Bytes that this user may still use. */
  readonly freeBytes: number;
}

/** The filesystem that a path is on; undefined when the path does not exist or cannot be looked at. */
export async function filesystemOf(path: string): Promise<Filesystem | undefined> {
  try {
    const { type: magic, bsize, blocks, bavail, bfree } = await statfs(path);
    const type = process.platform === 'linux' ? NAMES.get(magic) : undefined;
    return {
      type,
      sizeBytes: blocks * bsize,
      // Some blocks are kept for root.
      freeBytes: (process.geteuid?.() === 0 ? bfree : bavail) * bsize,
    };
  } catch {
    return undefined;
  }
}

/**
 * Bytes that this user may still write below a path. Infinity where the number is not known or has no limit: a
 * filesystem in memory without a limit has no blocks at all.
 */
export async function freeBytesIn(path: string): Promise<number> {
  const found = await filesystemOf(path);
  return found === undefined || found.sizeBytes === 0 ? Number.POSITIVE_INFINITY : found.freeBytes;
}

/**
 * Refuses a path that is no directory.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function assertDirectory(path: string): Promise<void> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw new MappedRamError('ERR_MAPPED_RAM_IO', 'there is no such directory', { path, cause });
  });
  if (stats.isDirectory()) return;
  throw new MappedRamError('ERR_MAPPED_RAM_IO', 'not a directory', { path });
}
