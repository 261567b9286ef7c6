import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { chown, type FileHandle, mkdtemp, open, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { MappedRamError, messageOf } from '../../errors.ts';

/** Directories in which a QEMU with another root may make a socket. */
const PLACES = ['/tmp', '/var/tmp', '/run', '/dev/shm'];
const NAME = 'mapped-ram-';

/** A directory in which QEMU listens on a unix socket. Only QEMU and this process may look into it. */
export class MeetingPlace implements AsyncDisposable {
  /** The socket's path, as QEMU has it. Nobody has made it yet. */
  readonly path: string;
  /** The same for this process, and those that it starts. */
  readonly ownPath: string;
  readonly #directory: string;
  /** The directory's own directory, where QEMU has another root: the path ends with QEMU. */
  readonly #parent: FileHandle | undefined;

  private constructor(directory: string, root = '', parent?: FileHandle) {
    const socket = randomUUID();
    this.path = join(directory, socket);
    this.ownPath = `${root}${this.path}`;
    this.#directory = parent === undefined ? directory : `/proc/self/fd/${parent.fd}/${basename(directory)}`;
    this.#parent = parent;
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
    const place =
      theirs === ours && ours !== undefined
        ? new MeetingPlace(await mkdtemp(join(tmpdir(), NAME)))
        : await MeetingPlace.#makeBelow(`/proc/${pid}/root`);
    try {
      if (user !== process.geteuid?.()) await chown(place.#directory, user, -1);
      return place;
    } catch (cause) {
      await place[Symbol.asyncDispose]();
      throw apart(`QEMU runs as another user (${user}), and ${messageOf(cause)}`);
    }
  }

  /** Makes a place that QEMU finds below its own root. */
  static async #makeBelow(root: string): Promise<MeetingPlace> {
    const reasons: string[] = [];
    for (const parent of PLACES) {
      let handle: FileHandle | undefined;
      try {
        // A link would lead this process somewhere else than QEMU.
        handle = await open(`${root}${parent}`, constants.O_DIRECTORY | constants.O_NOFOLLOW);
        const made = await mkdtemp(`/proc/self/fd/${handle.fd}/${NAME}`);
        return new MeetingPlace(join(parent, basename(made)), root, handle);
      } catch (cause) {
        await handle?.close();
        reasons.push(messageOf(cause));
      }
    }
    throw apart(
      `QEMU is in a container of its own, in which no directory can be made (${reasons.join('; ')})`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
    if (this.#parent !== undefined && this.#parent.fd !== -1) await this.#parent.close();
  }
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
