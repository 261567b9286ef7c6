import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { lockFile } from '../engine/file-lock.ts';
import { endOfProcess } from '../host/process-end.ts';
import { processes } from '../host/process-tree.ts';
import { isFolderName, OWNER, removeContents } from './own-folder.ts';

/** Words in the command line of every QEMU that this package has started. */
const OUR_QEMU = 'id=mapped-ram-qmp';
/** Limit in milliseconds for a killed QEMU to be gone, and its memory with it. */
const GONE_MS = 5000;
/** The permissions of others to change what is in a folder. */
const OTHERS_WRITE = 0o022;

/**
 * Removes the folders that killed benches left in these directories, and ends the QEMUs that still have memory there.
 * Folders of living benches stay, in whichever container or on whichever host they run, and so do those of other users.
 * A folder that cannot be judged or removed stays, too: that is no error for somebody who wants to measure.
 *
 * @returns the paths of the folders that were removed
 */
export async function removeAbandonedFolders(directories: readonly string[]): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const directory of new Set(directories)) {
    for (const name of await readdir(directory).catch(() => [])) {
      const folder = join(directory, name);
      if (isFolderName(name) && (await removeIfAbandoned(folder).catch(() => false))) removed.push(folder);
    }
  }
  return removed;
}

async function removeIfAbandoned(folder: string): Promise<boolean> {
  // Nobody else can have put anything there, or change it meanwhile.
  if (!isOwn(await lstat(folder))) return false;
  const path = join(folder, OWNER);
  // Network filesystems want a writable descriptor for an exclusive lock.
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  try {
    // A living owner has a shared lock, so that this throws.
    if (!fstatSync(fd).isFile() || !lockFile(fd, 'exclusive', path)) return false;
    await endQemus(folder);
    await removeContents(folder);
    await rm(folder, { recursive: true, force: true });
    return true;
  } finally {
    closeSync(fd);
  }
}

function isOwn(found: Stats): boolean {
  return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & OTHERS_WRITE) === 0;
}

/** Ends the QEMUs of a killed bench: their command lines name the folder, which no other bench's do. */
async function endQemus(folder: string): Promise<void> {
  const name = `/${basename(folder)}/`;
  const left = processes().filter((pid) => {
    const line = commandLine(pid);
    return line.includes(name) && line.includes(OUR_QEMU);
  });
  for (const pid of left) {
    process.kill(pid, 'SIGKILL');
    await endOfProcess(pid, GONE_MS);
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    // It has ended, or hides from this user.
    return '';
  }
}
