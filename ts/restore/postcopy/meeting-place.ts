import { constants } from 'node:fs';
import { type FileHandle, mkdtemp, open, readFile, readlink, rmdir, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { MappedRamError, messageOf } from '../../errors.ts';

/** Directories in which a QEMU with another root may make a socket. */
const PLACES = ['/tmp', '/var/tmp', '/run', '/dev/shm'];
const NAME = 'mapped-ram-';
const SOCKET = 'pages';
/** A link would lead this process somewhere else than QEMU, and to what QEMU's user may not change. */
const NO_LINK = constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** A directory in which QEMU listens on a unix socket. Only QEMU and this process may look into it. */
export class MeetingPlace implements AsyncDisposable {
  /** The socket's path, as QEMU has it. Nobody has made it yet. */
  readonly path: string;
  readonly #name: string;
  readonly #directory: FileHandle;
  readonly #parent: FileHandle;

  private constructor(parentPath: string, name: string, parent: FileHandle, directory: FileHandle) {
    this.path = join(parentPath, name, SOCKET);
    this.#name = name;
    this.#directory = directory;
    this.#parent = parent;
  }

  /** The same for this process and those that it starts, whatever QEMU's root is. */
  get ownPath(): string {
    return `/proc/${process.pid}/fd/${this.#directory.fd}/${SOCKET}`;
  }

  /**
   * Makes a place where this process can meet a QEMU.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the two have no directory in common, or it is not known
   */
  static async make(pid: number | undefined): Promise<MeetingPlace> {
    const user = pid === undefined ? undefined : await userOf(pid);
    if (pid === undefined || user === undefined)
      throw apart("QEMU's process is not known or cannot be looked at");
    const [theirs, ours] = [await rootOf(pid), await rootOf('self')];
    if (theirs === undefined || ours === undefined) throw apart("QEMU's root directory cannot be looked at");
    const places = theirs === ours ? [tmpdir()] : PLACES;
    const root = theirs === ours ? '/' : `/proc/${pid}/root/`;
    const reasons: string[] = [];
    for (const parent of places) {
      try {
        return await MeetingPlace.#makeIn(root, parent, user);
      } catch (cause) {
        reasons.push(messageOf(cause));
      }
    }
    throw apart(`no directory can be made where QEMU (user ${user}) finds it: ${reasons.join('; ')}`);
  }

  static async #makeIn(root: string, parentPath: string, user: number): Promise<MeetingPlace> {
    const parent = await openBelow(root, parentPath);
    let name: string | undefined;
    let directory: FileHandle | undefined;
    try {
      name = basename(await mkdtemp(`${pathOf(parent)}/${NAME}`));
      directory = await open(`${pathOf(parent)}/${name}`, NO_LINK);
      if (user !== process.geteuid?.()) await directory.chown(user, -1);
      return new MeetingPlace(parentPath, name, parent, directory);
    } catch (error) {
      await directory?.close();
      if (name !== undefined) await rmdir(`${pathOf(parent)}/${name}`).catch(() => undefined);
      await parent.close();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#parent.fd === -1) return;
    // QEMU has taken its socket away by now, or has ended.
    await unlink(`${pathOf(this.#directory)}/${SOCKET}`).catch(() => undefined);
    await rmdir(`${pathOf(this.#parent)}/${this.#name}`).catch(() => undefined);
    await this.#directory.close();
    await this.#parent.close();
  }
}

function pathOf({ fd }: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}

/** Opens a directory below a root, through no link but those of this process's own root. */
async function openBelow(root: string, path: string): Promise<FileHandle> {
  // Who may change the way to this process's own directories need not go this one.
  if (root === '/') return open(path, constants.O_DIRECTORY);
  let handle = await open(root, constants.O_DIRECTORY);
  for (const part of path.split('/').filter((word) => word !== '')) {
    const above = handle;
    try {
      handle = await open(`${pathOf(above)}/${part}`, NO_LINK);
    } finally {
      await above.close();
    }
  }
  return handle;
}

/** The user as whom a process makes files. */
async function userOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
  const user = /^Uid:\s+\d+\s+(?<user>\d+)/m.exec(status)?.groups?.['user'];
  return user === undefined ? undefined : Number(user);
}

/** What a process takes for the root of all paths; undefined when that cannot be seen. */
async function rootOf(pid: number | 'self'): Promise<string | undefined> {
  try {
    const [namespace, root] = await Promise.all([
      readlink(`/proc/${pid}/ns/mnt`),
      readlink(`/proc/${pid}/root`),
    ]);
    return `${namespace} ${root}`;
  } catch {
    return undefined;
  }
}

function apart(why: string): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `mode lazy meets QEMU at a unix socket, for which there is no place: ${why}`,
  );
}
